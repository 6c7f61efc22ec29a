// The lines of a run's log, folded into curves, answers and notes. Anybody who can write to the folder decides what the lines say, so
// every value is checked before it is kept.

const NOT_MEASURED = new Set(["step", "event", "time", "epoch"]);
const MOST_CURVES = 1000;
const MOST_POINTS = 200_000;        // of a curve; of a longer one, every other point is dropped
const MOST_SIZE = 1e300;            // differences of larger values are not finite
const MOST_NOTES = 1000;
const MOST_ANSWERS = 5000;

const stepOf = (line) => Number.isSafeInteger(line.step) && line.step >= 0 ? line.step : null;
const textOf = (value) => typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);

/** The known state of a run; it grows with the log. */
export class RunLog {
  constructor() {
    this.reset();
  }

  /** Forgets everything. */
  reset() {
    this.next = 0;
    this.curves = new Map();   // name: {steps: [], values: []}
    this.answers = [];         // {step, answers: [{line, prompt, answer, expected}]}
    this.answerCount = 0;
    this.notes = [];           // {time, text}
    this.saved = null;
    this.secondsPerStep = null;
    this.problem = null;       // what of the log could not be read
    this.version = 0;
  }

  /** Adds a part of the log, as the server gives it. */
  add(part) {
    if (part.from !== this.next) this.reset();
    for (const line of part.lines) this.addLine(line);
    this.next = part.next;
    if (part.lines.length > 0 || (part.problem ?? this.problem) !== this.problem) this.version++;
    this.problem = part.problem ?? this.problem;
  }

  addLine(line) {
    switch (line.event) {
      case "start":
        this.goBackTo(stepOf(line) ?? 0);
        break;
      case "step":
        this.addPoints(line, "");
        if (line.seconds > 0 && Number.isFinite(line.seconds)) this.secondsPerStep = this.secondsPerStep === null ? line.seconds : 0.9 * this.secondsPerStep + 0.1 * line.seconds;
        break;
      case "evaluation":
        this.addPoints(line, "");
        break;
      case "test":
        this.addPoints(line, "test_");
        break;
      case "answers":
        this.addAnswers(line);
        break;
      case "note":
        this.notes.push({ time: textOf(line.time), text: textOf(line.text) });
        if (this.notes.length > MOST_NOTES) this.notes = this.notes.slice(-MOST_NOTES / 2);
        break;
      case "saved":
        this.saved = textOf(line.folder);
        break;
      default:
    }
  }

  // A run that resumes from a checkpoint has lost the steps after it.
  goBackTo(step) {
    for (const curve of this.curves.values()) {
      let count = curve.steps.length;
      while (count > 0 && curve.steps[count - 1] > step) count--;
      curve.steps.length = curve.values.length = count;
    }
    this.answers = this.answers.filter((each) => each.step <= step);
    this.answerCount = this.answers.reduce((count, each) => count + each.answers.length, 0);
  }

  addAnswers(line) {
    const step = stepOf(line);
    if (step === null || !Array.isArray(line.answers)) return;
    const answers = line.answers.filter((each) => Number.isSafeInteger(each?.line)).slice(0, MOST_ANSWERS)
      .map((each) => ({ line: each.line, prompt: plainPrompt(textOf(each.prompt)), answer: textOf(each.answer), expected: textOf(each.expected) }));
    if (answers.length === 0) return;
    this.answers.push({ step, answers });
    this.answerCount += answers.length;
    // The newest answers are the ones to look at.
    while (this.answerCount > MOST_ANSWERS && this.answers.length > 1) this.answerCount -= this.answers.shift().answers.length;
  }

  addPoints(line, prefix) {
    const step = stepOf(line);
    if (step === null) return;
    for (const [name, value] of Object.entries(line)) {
      if (typeof value !== "number" || !(Math.abs(value) <= MOST_SIZE) || NOT_MEASURED.has(name)) continue;
      const full = prefix + (prefix !== "" && name.startsWith("eval_") ? name.slice(5) : name);
      if (!this.curves.has(full)) {
        if (this.curves.size >= MOST_CURVES) continue;
        this.curves.set(full, { steps: [], values: [] });
      }
      const curve = this.curves.get(full);
      curve.steps.push(step);
      curve.values.push(value);
      if (curve.steps.length > MOST_POINTS) [curve.steps, curve.values] = [curve.steps, curve.values].map((list) => list.filter((_, index) => index % 2 === 1));
    }
  }

  /** A curve's points; none when it was not measured. */
  curve(name) {
    return this.curves.get(name) ?? { steps: [], values: [] };
  }

  /** A curve's last value. */
  last(name) {
    return this.curve(name).values.at(-1);
  }
}

/** A prompt as it was said, without the special tokens around it; several turns with the names of their roles. */
export function plainPrompt(text) {
  const parts = text.split(/<\|(system|user|assistant|observation)\|>/);
  const turns = [];
  for (let at = 1; at < parts.length; at += 2) if (parts[at + 1].trim() !== "") turns.push([parts[at], parts[at + 1].trim()]);
  if (turns.length === 0) return text.replaceAll(/\[gMASK\]|<sop>/g, "").trim();
  return turns.length === 1 ? turns[0][1] : turns.map(([role, said]) => `${role}: ${said}`).join("\n");
}

/** Options as `[name with dots, value]`. */
export function flatten(options, prefix = "") {
  return Object.entries(options ?? {}).flatMap(([name, value]) => value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0
    ? flatten(value, `${prefix}${name}.`)
    : [[prefix + name, value]]);
}

/** A running mean that starts without bias; weight 0 changes nothing. */
export function smooth(values, weight) {
  if (weight === 0) return values;
  let [mean, share] = [0, 0];
  return values.map((value) => {
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

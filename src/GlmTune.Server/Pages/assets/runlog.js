// The lines of a run's log, folded into curves, answers and notes.

const NOT_MEASURED = new Set(["step", "event", "time", "epoch"]);

/** What is known of a run; grows as its log does. */
export class RunLog {
  constructor() {
    this.reset();
  }

  /** Forgets everything. */
  reset() {
    this.next = 0;
    this.curves = new Map();   // name: {steps: [], values: []}
    this.answers = [];         // {step, answers: [{line, prompt, answer, expected}]}
    this.notes = [];           // {time, text}
    this.saved = null;
    this.secondsPerStep = null;
    this.version = 0;
  }

  /** Adds a part of the log, as the server gives it. */
  add(part) {
    if (part.from !== this.next) this.reset();
    for (const line of part.lines) this.addLine(line);
    this.next = part.next;
    if (part.lines.length > 0) this.version++;
  }

  addLine(line) {
    switch (line.event) {
      case "start":
        this.goBackTo(line.step ?? 0);
        break;
      case "step":
        this.addPoints(line, "");
        if (line.seconds) this.secondsPerStep = this.secondsPerStep === null ? line.seconds : 0.9 * this.secondsPerStep + 0.1 * line.seconds;
        break;
      case "evaluation":
        this.addPoints(line, "");
        break;
      case "test":
        this.addPoints(line, "test_");
        break;
      case "answers":
        this.answers.push({ step: line.step, answers: line.answers ?? [] });
        break;
      case "note":
        this.notes.push({ time: line.time, text: line.text });
        break;
      case "saved":
        this.saved = line.folder;
        break;
      default:
    }
  }

  // A run that resumes from a checkpoint has lost the steps after it.
  goBackTo(step) {
    for (const curve of this.curves.values()) {
      const count = curve.steps.findIndex((each) => each > step);
      if (count >= 0) curve.steps.length = curve.values.length = count;
    }
    this.answers = this.answers.filter((each) => each.step <= step);
  }

  addPoints(line, prefix) {
    for (const [name, value] of Object.entries(line)) {
      if (typeof value !== "number" || NOT_MEASURED.has(name)) continue;
      const full = prefix + (prefix !== "" && name.startsWith("eval_") ? name.slice(5) : name);
      if (!this.curves.has(full)) this.curves.set(full, { steps: [], values: [] });
      const curve = this.curves.get(full);
      curve.steps.push(line.step);
      curve.values.push(value);
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

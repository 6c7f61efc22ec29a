// One job: its state, its curve, what can be done with it, and what it says.

import { getJson, postJson } from "./api.js";
import { clock } from "./axes.js";
import { Chart } from "./chart.js";
import { el } from "./dom.js";
import { chatWith, copyable } from "./rundo.js";
import { RunLog, smooth } from "./runlog.js";
import { toast, withKey } from "./shell.js";
import { language, locale, t } from "./text.js";
import { isDark } from "./theme.js";

const WEIGHT = 0.6;
const OVER = new Set(["finished", "stopped", "failed", "died"]);

export class JobView {
  /** @param options `onChanged()`: something was started or stopped. */
  constructor(name, { onChanged }) {
    Object.assign(this, { name, onChanged, log: new RunLog(), job: null });
    this.chart = new Chart({ name: "loss", title: t("loss") });
    this.parts = Object.fromEntries(["head", "actions", "said", "checkpoints", "command"].map((part) => [part, el("div")]));
    this.chatState = el("div", { role: "status" });
    this.lines = el("pre", { class: "output", tabindex: "0", "aria-label": t("output") });
    this.output = el("details", { class: "step" }, el("summary", { text: t("output") }), this.lines);
    this.element = el("div", { class: "job" }, this.parts.head, this.parts.actions, this.chatState, this.parts.said, el("h2", { class: "hidden", text: t("curves") }), this.chart.element, this.parts.checkpoints, this.parts.command, this.output);
    this.chart.element.hidden = true;
  }

  close() {
    this.closed = true;
  }

  /** Brings everything up to date. */
  async follow(jobs) {
    this.job = jobs.find((job) => job.name === this.name) ?? null;
    if (!this.job) {
      this.parts.head.replaceChildren(el("h1", { text: t("noSuchRun") }));
      return;
    }
    await this.read();
    if (this.closed) return;
    this.show();
  }

  async read() {
    const ask = (path) => withKey(() => getJson(path));
    this.run = (await ask("/api/runs")).runs.find((run) => run.id === this.job.run) ?? null;
    for (let more = this.run !== null; more;) {
      const part = await ask(`/api/runs/${this.job.run}/log?from=${this.log.next}`);
      this.log.add(part);
      ({ more } = part);
    }
    if (this.output.open || OVER.has(this.job.state)) ({ lines: this.said } = await ask(`/api/studio/jobs/${encodeURIComponent(this.name)}`));
  }

  show() {
    const { job, run, log } = this;
    fill(this.parts.head, [job, run, language()], () => [
      el("div", { class: "run-head" }, el("h1", { text: job.name }), el("span", { class: `state ${job.state}`, text: t(job.state) })),
      run && run.total_steps > 0 ? el("div", { class: "progress" },
        el("progress", { max: String(run.total_steps), value: run.step, "aria-label": t("steps") }),
        el("span", { text: [t("stepsOf", run.step, run.total_steps), this.left()].filter(Boolean).join(" · ") })) : null,
      el("dl", { class: "fact-list" }, ...this.facts().map(([words, value]) => el("div", {}, el("dt", { text: t(words) }), el("dd", { text: value }))))]);
    fill(this.parts.actions, [job.state, job.checkpoints.length > 0, language()], () => [el("div", { class: "row actions" }, ...this.actions())]);
    fill(this.parts.said, [job.state, job.last_lines, job.problem, language()], () => this.problem());
    this.showChart();
    fill(this.parts.checkpoints, [job.checkpoints, language()], () => this.checkpoints());
    fill(this.parts.command, [job.command, language()], () => job.command ? [el("h2", { text: t("command") }), copyable(job.command)] : []);
    if (this.said) fill(this.lines, this.said, () => [this.said.join("\n")]);
  }

  left() {
    const { run, log } = this;
    if (run.state !== "running" || log.secondsPerStep === null || run.total_steps <= run.step) return null;
    return t("left", clock((run.total_steps - run.step) * log.secondsPerStep));
  }

  facts() {
    const { job, run } = this;
    const number = (value) => value.toLocaleString(locale(), { maximumSignificantDigits: 4 });
    return [
      ["model", job.model], ["output", job.output],
      ["began", job.created && new Date(job.created).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" })],
      ["loss", run?.loss !== null && run?.loss !== undefined ? number(run.loss) : null],
      ["evaluation", run?.eval_loss !== null && run?.eval_loss !== undefined ? number(run.eval_loss) : null],
    ].filter(([, value]) => value);
  }

  actions() {
    const { job } = this;
    const isOver = OVER.has(job.state);
    const button = (words, act, kind = "button") => el("button", { type: "button", class: kind, text: t(words), on: { click: act } });
    return [
      isOver ? null : el("button", { type: "button", class: "button", text: t("stopRun"), disabled: job.state === "stopping", on: { click: () => this.act("stop") } }),
      isOver && job.state !== "finished" ? button("resumeRun", () => this.act("resume"), "button primary") : null,
      job.checkpoints.length > 0 ? button("chatWithIt", () => this.chat(null), job.state === "finished" ? "button primary" : "button") : null,
      el("a", { class: "button", href: `/runs#${job.run}`, text: t("allCurves") }),
    ].filter(Boolean);
  }

  problem() {
    const { job } = this;
    if (job.problem) return [el("p", { class: "error-box", text: job.problem })];
    if (job.state !== "died" && job.state !== "failed") return [];
    return [el("div", { class: "error-box" }, el("p", { text: job.state === "died" ? t("diedText") : t("failedText", job.exit_code) }), el("pre", { text: job.last_lines.join("\n") }))];
  }

  showChart() {
    const color = isDark() ? ["#7fb0ff", "#f5a35c"] : ["#2563eb", "#c2570c"];
    const [loss, evaluation] = [this.log.curve("loss"), this.log.curve("eval_loss")];
    const key = `${this.log.version} ${color[0]} ${language()}`;
    if (this.chart.key === key) return;
    this.chart.key = key;
    const smoothed = loss.values.length > 4;
    this.chart.show([
      { label: t("training"), color: color[0], dash: null, steps: loss.steps, values: smoothed ? smooth(loss.values, WEIGHT) : loss.values, raw: smoothed ? loss.values : null },
      { label: t("evaluation"), color: color[1], dash: null, steps: evaluation.steps, values: evaluation.values, dots: true },
    ]);
  }

  checkpoints() {
    const { checkpoints } = this.job;
    if (checkpoints.length === 0) return [];
    return [el("h2", { text: t("checkpoints") }), el("ul", { class: "checkpoints" }, checkpoints.map((step) => el("li", {}, el("span", { text: t("step", step) }),
      el("button", { type: "button", class: "text-button", text: t("chat"), "aria-label": t("labelled", t("chatWithIt"), t("step", step)), on: { click: () => this.chat(step) } }))))];
  }

  // ---- what the user does

  async act(what) {
    try {
      await withKey(() => postJson(`/api/studio/jobs/${encodeURIComponent(this.name)}/${what}?lang=${language()}`, {}));
    } catch (error) {
      toast(error.message);
    }
    await this.onChanged();
  }

  chat(step) {
    return chatWith({ run: this.job.run, step }, this.chatState, () => this.closed);
  }
}

// Draws a part again only if what it shows has changed.
function fill(node, facts, make) {
  const key = JSON.stringify(facts);
  if (node.key === key) return;
  node.key = key;
  node.replaceChildren(...make().filter(Boolean));
}

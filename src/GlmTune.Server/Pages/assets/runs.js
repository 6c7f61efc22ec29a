// The training page: which runs are shown, and everything about them, kept up to date.

import { getJson } from "./api.js";
import { AXES, clock, placesOn } from "./axes.js";
import { Chart, short } from "./chart.js";
import { el } from "./dom.js";
import { chatWith, commandsOf, copyable } from "./rundo.js";
import { flatten, RunLog, smooth } from "./runlog.js";
import { runTable } from "./runtable.js";
import { dressPage, hideSidebar, toast, withKey } from "./shell.js";
import { locale, t } from "./text.js";
import { isDark } from "./theme.js";

const LIST_EVERY_MS = 3000;
const LOG_EVERY_MS = 1500;
const MOST_PARTS = 50;
const MOST_ROWS = 2000;             // of a table or list
const LIGHT = ["#2563eb", "#c2570c", "#0f8a5f", "#8b3fd1", "#c81e4b", "#0e7f99"];
const DARK = ["#7fb0ff", "#f5a35c", "#63d0a4", "#c79bff", "#ff8aa8", "#63cfe6"];
const DASHES = [null, "6 4", "2 3"];

// Curves by chart: [name, words, whether it is of evaluations].
const CHARTS = [
  { name: "loss", words: "loss", curves: [["loss", "training"], ["eval_loss", "evaluation"]], takesLog: true, smooths: true },
  { name: "learning_rate", words: "learningRate", curves: [["learning_rate", "learningRate"]] },
  { name: "gradient_norm", words: "gradientNorm", curves: [["grad_norm", "gradientNorm"]], smooths: true },
  { name: "tokens_per_second", words: "speed", curves: [["tokens_per_second", "speed"]], smooths: true },
  { name: "matmul_share", words: "matmulShare", curves: [["matmul_share", "matmulShare"]], smooths: true },
  { name: "memory", words: "memory", curves: [["memory_gib", "memory"], ["peak_memory_gib", "peakMemory"]] },
  { name: "memory_parts", words: "memoryParts", curves: [
    ["memory_weights_gib", "weights"], ["memory_adapter_gib", "adapter"], ["memory_gradients_gib", "gradients"],
    ["memory_optimizer_gib", "optimizerState"], ["memory_activations_gib", "activations"], ["memory_other_gib", "otherMemory"],
  ] },
  { name: "perplexity", words: "perplexity", curves: [["eval_perplexity", "perplexity"]] },
  { name: "rouge", title: "ROUGE", curves: [["eval_rouge-1", "ROUGE-1"], ["eval_rouge-2", "ROUGE-2"], ["eval_rouge-l", "ROUGE-L"]] },
  { name: "bleu", title: "BLEU-4", curves: [["eval_bleu-4", "BLEU-4"]] },
];

const content = document.getElementById("content");
let listing = null;                 // what /api/runs said
let shown = location.hash.slice(1).split(",").filter((id) => id !== "");
let charts = [];
let parts = {};                     // elements that are filled again and again
let [weight, isLog, onlyDifferences, line] = [0.6, false, true, null];
let [axis, range, searched] = ["step", null, ""];
const logs = new Map();             // id: RunLog
const descriptions = new Map();     // id: what run.json says

// ---- what the server knows

async function followList() {
  try {
    listing = await withKey(() => getJson("/api/runs"));
  } catch (error) {
    toast(error.status ? error.message : t("unreachable"));
    return;
  }
  const link = document.getElementById("chat-link");
  link.hidden = !listing.chat;
  link.href = listing.studio ? "/chat" : "/";
  document.getElementById("studio-link").hidden = !listing.studio;
  shown = shown.filter((id) => runOf(id));
  if (shown.length === 0 && listing.runs.length > 0) shown = [listing.runs[0].id];
  showList();
  await followLogs();
}

let isFollowing = false;

async function followLogs() {
  if (isFollowing) return;
  isFollowing = true;
  try {
    // The list's own question says that the server is gone; the next turn may find it again.
    await Promise.allSettled(shown.map(followLog));
  } finally {
    isFollowing = false;
  }
  show();
}

async function followLog(id) {
  if (!logs.has(id)) logs.set(id, new RunLog());
  const log = logs.get(id);
  // A new beginning may come with other options.
  const begun = runOf(id)?.started ?? "";
  if (!descriptions.has(id) || descriptions.get(id).begun !== begun) {
    const found = await getJson(`/api/runs/${id}`);
    descriptions.set(id, { begun, problem: found.problem, ...found.description });
  }
  // A log that is longer than this is read on in the next turn.
  for (let parts = 0; parts < MOST_PARTS; parts++) {
    const part = await getJson(`/api/runs/${id}/log?from=${log.next}`);
    log.add(part);
    if (!part.more) break;
  }
}

const runOf = (id) => listing?.runs.find((run) => run.id === id);

const colorOf = (place) => (isDark() ? DARK : LIGHT)[place % LIGHT.length];

function choose(ids) {
  shown = ids;
  range = null;
  history.replaceState(null, "", `#${ids.join(",")}`);
  showList();
  followLogs();
}

// ---- the list

function showList() {
  const list = document.getElementById("run-list");
  // A list that looks the same stays, with the focus in it.
  const key = JSON.stringify([listing.runs, listing.problems, shown, document.documentElement.lang, colorOf(0), searched]);
  if (list.key === key) return;
  list.key = key;
  const focused = document.activeElement?.closest?.("#run-list [data-focus]")?.dataset.focus;
  list.replaceChildren(...found().map(runRow), ...listing.problems.map((problem) => el("li", { class: "muted small", text: problem })));
  if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
}

const found = () => listing.runs.filter((run) => searched.split(/\s+/).every((word) => run.name.toLowerCase().includes(word)));

function runRow(run) {
  const place = shown.indexOf(run.id);
  return el("li", { class: place >= 0 ? "run shown" : "run" },
    el("input", { type: "checkbox", checked: place >= 0, "aria-label": t("show", run.name), "data-focus": `box-${run.id}`, on: { change: () => choose(place >= 0 ? shown.filter((id) => id !== run.id) : [...shown, run.id]) } }),
    el("button", { type: "button", class: "pick", "data-focus": `run-${run.id}`, on: { click: () => {
      hideSidebar();
      choose([run.id]);
    } } },
      el("span", { class: "name" }, place >= 0 ? dot(place) : null, el("span", { text: run.name, title: run.name })),
      el("span", { class: "facts" }, stateOf(run), el("span", { text: run.total_steps > 0 ? `${run.step} / ${run.total_steps}` : String(run.step) }))));
}

function dot(place) {
  const node = el("i", { class: "dot" });
  node.style.background = colorOf(place);
  return node;
}

const stateOf = (run) => el("span", { class: `state ${run.state}`, text: t(run.state) });

// ---- the page

function build() {
  charts = CHARTS.map((chart) => ({ ...chart, view: new Chart({ name: chart.name, title: chart.title ?? t(chart.words), onZoom: zoom }) }));
  parts = Object.fromEntries(["table", "heads", "scores", "answers", "commands", "configuration", "notes"].map((name) => [name, el("div")]));
  const smoothing = el("input", { type: "range", min: "0", max: "0.98", step: "0.02", value: String(weight), on: { input: (event) => {
    weight = Number(event.target.value);
    show();
  } } });
  const logarithm = el("input", { type: "checkbox", checked: isLog, on: { change: (event) => {
    isLog = event.target.checked;
    show();
  } } });
  const over = el("select", { class: "field", "aria-label": t("over"), on: { change: (event) => {
    [axis, range] = [event.target.value, null];
    show();
  } } }, Object.entries(AXES).map(([name, each]) => el("option", { value: name, text: t(each.words), selected: name === axis })));
  parts.whole = el("button", { type: "button", class: "text-button", text: t("wholeCurve"), hidden: true, on: { click: () => zoom(null) } });
  parts.curves = el("section", { "aria-label": t("curves") },
    el("div", { class: "section-head" }, el("h2", { text: t("curves") }), el("label", {}, t("over"), over), el("label", {}, t("smoothing"), smoothing), el("label", {}, logarithm, t("logScale")), parts.whole),
    el("div", { class: "charts" }, ...charts.map((chart) => chart.view.element)));
  parts.empty = el("div");
  content.replaceChildren(parts.empty, parts.table, parts.heads, parts.curves, parts.scores, parts.answers, parts.commands, parts.configuration, parts.notes);
}

function zoom(to) {
  range = to;
  show();
}

function show() {
  const isEmpty = shown.length === 0;
  for (const [name, node] of Object.entries(parts)) node.hidden = isEmpty !== (name === "empty");
  // One run needs no table.
  parts.table.hidden = (listing?.runs.length ?? 0) < 2;
  parts.whole.hidden = range === null;
  document.title = `${runOf(shown[0])?.name ?? t("training")} · GlmTune`;
  if (!parts.table.hidden) fill(parts.table, [listing.runs, shown, searched, colorOf(0)], () => runTable(found(), shown, dot, choose));
  if (isEmpty) {
    const hasNone = listing?.runs.length === 0;
    parts.empty.replaceChildren(el("div", { class: "empty" }, el("h1", { text: hasNone ? t("noRuns") : t("nothingSelected") }), hasNone ? el("p", { class: "muted", text: listing.folders === 0 ? t("noRunsFolder") : t("noRunsText") }) : null));
    return;
  }
  fill(parts.heads, [shown.map((id) => [runOf(id), logs.get(id)?.version]), colorOf(0)], () => [shown.length > 1 ? el("h1", { class: "hidden", text: t("runs") }) : null, ...shown.map((id) => attempt(() => head(id)))]);
  fill(parts.commands, shown.map((id) => [runOf(id)?.state, logs.get(id)?.saved, descriptions.get(id)?.command]), commands);
  showCharts();
  fill(parts.scores, shown.map((id) => logs.get(id)?.version), scores);
  fill(parts.answers, [shown, shown.map((id) => logs.get(id)?.answers.length), line], answers);
  fill(parts.configuration, [shown, shown.map((id) => descriptions.get(id)), onlyDifferences], configuration);
  fill(parts.notes, shown.map((id) => logs.get(id)?.notes.length), notes);
}

// Draws a part only when what it shows has changed, so that reading and selecting are not disturbed.
function fill(node, facts, make) {
  const key = JSON.stringify([facts, document.documentElement.lang]);
  if (node.key === key) return;
  node.key = key;
  node.replaceChildren(...[attempt(make)].flat().filter(Boolean));
}

// A part that cannot be drawn says so, and the others are drawn.
function attempt(make) {
  try {
    return make();
  } catch (error) {
    console.warn("A section cannot be shown:", error);
    return el("p", { class: "muted", text: t("sectionFailed") });
  }
}

function head(id) {
  const [run, log, description] = [runOf(id), logs.get(id), descriptions.get(id) ?? {}];
  if (!run || !log) return null;
  const left = run.state === "running" && log.secondsPerStep !== null && run.total_steps > run.step ? t("left", clock((run.total_steps - run.step) * log.secondsPerStep)) : null;
  const facts = [
    ["model", description.model], ["began", description.started && new Date(description.started).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" })],
    ["device", description.device && [description.device, description.type, description.world_size > 1 ? `× ${description.world_size}` : null].filter(Boolean).join(" ")],
    ["rows", description.rows?.toLocaleString(locale())],
    ["trained", description.trained_parameters > 0 ? t("stepsOf", description.trained_parameters.toLocaleString(locale()), description.all_parameters.toLocaleString(locale())) : null],
    ["lastCheckpoint", log.saved],
  ].filter(([, value]) => value);
  const problems = [...new Set([run.problem, description.problem, log.problem])].filter(Boolean).map((problem) => el("p", { class: "error-box", text: t("labelled", t("runProblem"), problem) }));
  // Of several runs, the table has the figures.
  if (shown.length > 1) {
    const errors = [run.error ? el("p", { class: "error-box", text: t("labelled", run.name, run.error) }) : null, ...problems].filter(Boolean);
    return errors.length > 0 ? el("section", { class: "run-block", "aria-label": run.name }, errors) : null;
  }
  return el("section", { class: "run-block", "aria-label": run.name },
    el("div", { class: "run-head" }, el("h1", { text: run.name }), stateOf(run)),
    run.total_steps > 0 ? el("div", { class: "progress" },
      el("progress", { max: String(run.total_steps), value: run.step, "aria-label": t("steps") }),
      el("span", { text: [t("stepsOf", run.step, run.total_steps), left].filter(Boolean).join(" · ") })) : null,
    run.error ? el("p", { class: "error-box", text: run.error }) : null,
    problems,
    el("dl", { class: "fact-list" }, ...facts.map(([words, value]) => el("div", {}, el("dt", { text: t(words) }), el("dd", { text: value })))));
}

// What to do with the runs: commands to copy; in the studio, a button instead of the command to chat.
function commands() {
  const status = el("div", { role: "status" });
  const blocks = shown.flatMap((id) => {
    const [run, log] = [runOf(id), logs.get(id)];
    if (!run || !log) return [];
    return commandsOf(run, descriptions.get(id) ?? {}, log.saved).map(([words, command]) => el("div", {},
      el("p", { text: shown.length > 1 ? t("labelled", run.name, t(words)) : t(words) }),
      words === "chatCommand" && listing.studio ? el("button", { type: "button", class: "button", text: t("chatWithIt"), on: { click: () => chatWith({ run: id, step: null }, status) } }) : copyable(command)));
  });
  return blocks.length === 0 ? null : [el("h2", { text: t("next") }), el("div", { class: "commands" }, blocks), status];
}

function showCharts() {
  for (const chart of charts) {
    const series = shown.flatMap((id, place) => chart.curves.map(([name, words], index) => {
      const log = logs.get(id);
      const { steps: measured, values } = log?.curve(name) ?? { steps: [], values: [] };
      const steps = log ? placesOn(axis, log)?.(measured) ?? [] : [];
      const isSmoothed = chart.smooths && !name.startsWith("eval_") && weight > 0 && values.length > 4;
      const label = chart.curves.length === 1 && shown.length === 1 ? chart.view.title : words.startsWith("ROUGE") || words.startsWith("BLEU") ? words : t(words);
      return {
        label: shown.length > 1 ? [runOf(id)?.name, chart.curves.length > 1 ? label : null].filter(Boolean).join(" · ") : label,
        // One run: a colour for each curve. Several: a colour for each run.
        color: colorOf(shown.length > 1 ? place : index), dash: shown.length > 1 ? DASHES[index] : null,
        steps, values: isSmoothed ? smooth(values, weight) : values, raw: isSmoothed ? values : null, dots: name.startsWith("eval_") && steps.length <= 60,
      };
    }));
    const key = JSON.stringify([shown, shown.map((id) => logs.get(id)?.version), weight, isLog, axis, range, colorOf(0)]);
    if (chart.key === key) continue;
    chart.key = key;
    try {
      chart.view.show(series, chart.takesLog && isLog, AXES[axis], range);
    } catch (error) {
      console.warn("A chart cannot be shown:", error);
      chart.view.element.hidden = true;
    }
  }
}

function scores() {
  const names = [...new Set(shown.flatMap((id) => [...(logs.get(id)?.curves.keys() ?? [])]))].filter((name) => /^(eval|test)_/.test(name) && !/runtime|per_second/.test(name)).sort().slice(0, MOST_ROWS);
  if (names.length === 0) return null;
  const best = (name, id) => {
    const { values } = logs.get(id).curve(name);
    return /loss|perplexity/.test(name) ? values.reduce((a, b) => Math.min(a, b)) : values.reduce((a, b) => Math.max(a, b));
  };
  return [el("h2", { text: t("scores") }), el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t("scores") }, el("table", {},
    el("thead", {}, el("tr", {}, el("td"), ...shown.flatMap((id) => [el("th", { scope: "col", text: shown.length > 1 ? t("labelled", runOf(id)?.name, t("scoreLast")) : t("scoreLast") }), el("th", { scope: "col", text: t("scoreBest") })]))),
    el("tbody", {}, names.map((name) => el("tr", {}, el("th", { scope: "row", class: "option", text: name }), ...shown.flatMap((id) => {
      const last = logs.get(id)?.last(name);
      return last === undefined ? [el("td"), el("td")] : [el("td", { class: "figure", text: short(last) }), el("td", { class: "figure", text: short(best(name, id)) })];
    }))))))];
}

function answers() {
  const found = shown.flatMap((id) => (logs.get(id)?.answers ?? []).flatMap(({ step, answers: given }) => given.map((each) => ({ ...each, step, id }))));
  const heading = el("h2", { text: t("answers") });
  if (found.length === 0) return [heading, el("p", { class: "muted", text: t("noAnswers") })];
  const prompts = [...new Map(found.map((each) => [each.line, each])).values()].slice(0, MOST_ROWS);
  const chosen = prompts.find((each) => each.line === line) ?? prompts[0];
  const rows = found.filter((each) => each.line === chosen.line).sort((a, b) => b.step - a.step).slice(0, MOST_ROWS);
  return [heading,
    el("div", { class: "answer-pick" }, el("label", {}, el("span", { class: "hidden", text: t("prompt") }), el("select", { class: "field", "aria-label": t("prompt"), on: { change: (event) => {
      line = Number(event.target.value);
      show();
    } } }, prompts.map((each) => el("option", { value: String(each.line), selected: each === chosen, text: `${each.line}: ${each.prompt.slice(0, 60)}` }))))),
    el("div", { class: "card" }, el("dl", {}, el("dt", { text: t("prompt") }), el("dd", { class: "said", text: chosen.prompt }), el("dt", { text: t("expected") }), el("dd", { class: "said", text: chosen.expected }))),
    el("div", { class: "table-scroll answers", tabindex: "0", role: "region", "aria-label": t("answers") }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col", text: t("afterStep") }), shown.length > 1 ? el("th", { scope: "col", text: t("run") }) : null, el("th", { scope: "col", text: t("answer") }))),
      el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row", text: String(row.step) }), shown.length > 1 ? el("td", { class: "run-name", text: runOf(row.id)?.name ?? "" }) : null, el("td", { class: "said", text: row.answer }))))))];
}

// The keys that recipes set, in their own words; what else is in effect, by the program's names, is folded.
function configuration() {
  const own = shown.map((id) => new Map(Object.entries(descriptions.get(id)?.settings ?? {})));
  const all = shown.map((id) => new Map(flatten(descriptions.get(id)?.recipe).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)])));
  const heading = el("h2", { text: t("configuration") });
  const hasOwn = own.some((each) => each.size > 0);
  if (!hasOwn && all.every((each) => each.size === 0)) return [heading, el("p", { class: "muted", text: t("noConfiguration") })];
  const box = el("input", { type: "checkbox", checked: onlyDifferences, on: { change: (event) => {
    onlyDifferences = event.target.checked;
    show();
  } } });
  const first = hasOwn ? own : all;
  return [
    shown.length > 1 ? el("div", { class: "section-head" }, heading, el("label", {}, box, t("onlyDifferences"))) : heading,
    hasOwn || shown.length > 1 ? optionTable(first, t("configuration"), hasOwn) : folded(all),
    hasOwn && all.some((each) => each.size > 0) ? folded(all) : null,
  ];
}

const folded = (options) => el("details", { class: "all-options" }, el("summary", { text: `${t("allOptions")} (${new Set(options.flatMap((each) => [...each.keys()])).size})` }), optionTable(options, t("allOptions"), false));

function optionTable(options, label, mayBeDefault) {
  const names = [...new Set(options.flatMap((each) => [...each.keys()]))].slice(0, MOST_ROWS);
  const differs = (name) => new Set(options.map((each) => each.get(name))).size > 1;
  const rows = names.filter((name) => shown.length < 2 || !onlyDifferences || differs(name));
  if (rows.length === 0) return el("p", { class: "muted", text: t("noDifferences") });
  return el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col", text: t("option") }), ...shown.map((id) => el("th", { scope: "col", text: runOf(id)?.name ?? "" })))),
    el("tbody", {}, rows.map((name) => el("tr", { class: shown.length > 1 && differs(name) ? "differs" : "" }, el("th", { scope: "row", class: "option", text: name }), ...options.map((each) => each.has(name) ? el("td", { class: "option", text: each.get(name) }) : el("td", { class: "muted", text: mayBeDefault ? t("modelDefault") : "—" })))))));
}

function notes() {
  const found = shown.flatMap((id) => logs.get(id)?.notes ?? []);
  if (found.length === 0) return null;
  return [el("h2", { text: t("log") }), el("ul", { class: "notes" }, found.slice(-MOST_ROWS).map((note) => el("li", {}, timeOf(note.time), el("span", { text: note.text }))))];
}

function timeOf(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? el("time", { text: "—" }) : el("time", { datetime: text, text: time.toLocaleTimeString(locale()) });
}

addEventListener("wordschange", () => {
  build();
  if (listing) showList();
  show();
});
addEventListener("themechange", () => {
  showList();
  show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  showList();
  show();
});

dressPage({ "close-sidebar": "close", "open-sidebar": "menu", theme: "theme" });
document.getElementById("run-search").addEventListener("input", (event) => {
  searched = event.target.value.trim().toLowerCase();
  if (listing) showList();
  show();
});
build();
await followList();
setInterval(() => { if (!document.hidden) followList(); }, LIST_EVERY_MS);
setInterval(() => { if (!document.hidden) followLogs(); }, LOG_EVERY_MS);

// All runs as a table, to be searched and compared.

import { clock } from "./axes.js";
import { short } from "./chart.js";
import { el } from "./dom.js";
import { locale, t } from "./text.js";

/** How long a run has taken; null if that is unknown. */
function seconds(run) {
  const began = Date.parse(run.started ?? "");
  const ended = run.state === "running" ? Date.now() : Date.parse(run.last_time ?? "");
  return Number.isFinite(began) && ended >= began ? (ended - began) / 1000 : null;
}

const COLUMNS = [
  ["state", (run) => el("span", { class: `state ${run.state}`, text: t(run.state) })],
  ["steps", (run) => run.total_steps > 0 ? t("stepsOf", run.step, run.total_steps) : String(run.step)],
  ["loss", (run) => number(run.loss)],
  ["evaluation", (run) => number(run.eval_loss)],
  ["runTime", (run) => seconds(run) === null ? "" : clock(seconds(run))],
  ["speed", (run) => number(run.tokens_per_second)],
  ["began", (run) => run.started ? new Date(run.started).toLocaleString(locale(), { dateStyle: "short", timeStyle: "short" }) : ""],
];

const number = (value) => typeof value === "number" ? short(value) : "";

/**
 * The table.
 * @param runs The runs that match the search.
 * @param shown Ids of those whose curves are shown.
 * @param mark Makes the mark of a shown run, by its place.
 * @param choose Called with the ids to show.
 */
export function runTable(runs, shown, mark, choose) {
  return el("div", { class: "table-scroll run-table", tabindex: "0", role: "region", "aria-label": t("runs") }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col", text: t("run") }), ...COLUMNS.map(([words]) => el("th", { scope: "col", text: t(words) })))),
    el("tbody", {}, runs.map((run) => {
      const place = shown.indexOf(run.id);
      return el("tr", { class: place >= 0 ? "shown" : "" },
        el("th", { scope: "row" }, el("label", {}, el("input", { type: "checkbox", checked: place >= 0, "data-focus": `table-${run.id}`, "aria-label": t("show", run.name), on: { change: () => choose(place >= 0 ? shown.filter((id) => id !== run.id) : [...shown, run.id]) } }),
          place >= 0 ? mark(place) : null, el("span", { class: "name", text: run.name, title: run.name }))),
        ...COLUMNS.map(([words, value]) => el("td", { class: words === "state" || words === "began" ? "" : "figure" }, value(run))));
    }))));
}

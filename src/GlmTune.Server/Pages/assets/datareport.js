// What a check of the data found: figures, problems, and the first rows with what the loss covers.

import { el } from "./dom.js";
import { locale, t } from "./text.js";

const SPLITS = { train: "trainFile", val: "valFile", test: "testFile" };

/** A box with one line for each problem. */
export const problemBox = (lines) => el("ul", { class: "error-box lines" }, lines.map((line) => el("li", { text: line })));

/** The same for what is no problem. */
export const noteList = (lines) => el("ul", { class: "note-box lines" }, lines.map((line) => el("li", { text: line })));

export class DataReport {
  constructor() {
    this.element = el("div", { class: "data-report", role: "status" });
    this.turn = 0;
  }

  clear() {
    this.turn++;
    this.element.replaceChildren();
  }

  /** Runs a check and shows what it found; an older one that comes later is not shown. */
  async of(check) {
    const turn = ++this.turn;
    this.element.replaceChildren(el("p", { class: "muted", text: t("checking") }));
    let nodes;
    try {
      nodes = shown(await check());
    } catch (error) {
      nodes = [problemBox(error.message.split("\n"))];
    }
    if (turn === this.turn) this.element.replaceChildren(...nodes);
  }
}

function shown(found) {
  const errors = [...found.problems, ...found.files.flatMap((file) => file.errors)];
  const notes = found.files.flatMap((file) => file.notes);
  return [
    errors.length > 0 ? problemBox(errors) : el("p", { class: "verdict good", text: t("dataGood") }),
    el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t("file") }, el("table", {},
      el("thead", {}, el("tr", {}, ...["file", "rows", "usableRows", "tokensOfData", "supervisedTokens", "medianTokens", "longestTokens", "cutRows"].map((words) => el("th", { scope: "col", text: t(words) })))),
      el("tbody", {}, found.files.map((file) => el("tr", {}, el("th", { scope: "row" }, el("span", { class: "muted small", text: `${t(SPLITS[file.split])} ` }), el("span", { class: "option", text: file.file })),
        ...[file.rows, file.usable_rows, file.tokens, file.supervised_tokens, file.median_tokens, file.longest_tokens, file.cut_rows].map((value) => el("td", { class: "figure", text: value.toLocaleString(locale()) }))))))),
    notes.length > 0 ? el("details", {}, el("summary", { text: t("notesOfData", notes.length) }), noteList(notes)) : null,
    found.rows.length > 0 ? el("div", { class: "rows-shown" }, el("p", { class: "muted small" }, `${t("firstRows")} `, el("mark", { text: t("hasLoss") })), ...found.rows.map(row)) : null,
  ].filter(Boolean);
}

const row = (each) => el("details", { class: "data-row", open: each.line === 1 },
  el("summary", { text: t("dataRow", each.line, each.tokens, each.supervised) }),
  el("div", { class: "said" }, each.stretches.map((stretch) => stretch.supervised ? el("mark", { text: stretch.text }) : stretch.text)));

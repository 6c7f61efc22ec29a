// Markdown to nodes: what chat models write, and nothing that could act. There is no HTML: a tag is text. Links go to http, https and
// mailto only; a picture becomes a link, since nothing is loaded from elsewhere.

import { el, iconButton } from "./dom.js";
import { colourCode, formula } from "./libraries.js";
import { t } from "./text.js";

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`\n]*)$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:[ \t]+|$)(.*)$/;
const TABLE_RULE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const DEEPEST = 12;
const LONGEST_LINK = 4000;
const LONGEST_FORMULA = 2000;       // characters
const MOST_FORMULA_LINES = 60;

/** The address if a link may have it, else null. */
export function safeAddress(address) {
  // Browsers drop control characters and white space when they read a scheme, so none may be there.
  if (/[\u0000-\u0020\u007f-\u00a0\u2028\u2029]/.test(address)) return null;
  return /^(?:https?:\/\/|mailto:)/i.test(address) && URL.canParse(address) ? address : null;
}

/**
 * Shows a text in an element. Blocks whose source is as before keep their nodes, so a growing answer costs its last block only and a
 * selection in it stays.
 */
export function renderMarkdown(element, text) {
  const sources = splitBlocks(text.replace(/\r\n?/g, "\n").split("\n"));
  const shown = element.shownBlocks ?? [];
  let same = 0;
  while (same < shown.length && same < sources.length && shown[same].join("\n") === sources[same].join("\n")) same++;
  while (element.childNodes.length > same) element.lastChild.remove();
  for (const lines of sources.slice(same)) element.append(block(lines, 0));
  element.shownBlocks = sources;
}

// The level and the words of a heading; null for another line. Regular expressions that trim take quadratic time on long blanks.
function heading(line) {
  const mark = line.match(/^ {0,3}(#{1,6})/);
  if (!mark) return null;
  const rest = trimmedEnd(line.slice(mark[0].length), " \t");
  if (rest !== "" && rest[0] !== " " && rest[0] !== "\t" && trimmedEnd(rest, "#") !== "") return null;
  return { level: mark[1].length, words: trimmedEnd(trimmedEnd(rest, "#"), " \t").trimStart() };
}

function trimmedEnd(text, characters) {
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1])) end--;
  return text.slice(0, end);
}

// Lines of each block at one level.
function splitBlocks(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at++;
      continue;
    }
    const end = blockEnd(lines, at);
    blocks.push(lines.slice(at, end));
    at = end;
  }
  return blocks;
}

function blockEnd(lines, start) {
  const fence = lines[start].match(FENCE);
  if (fence) {
    const closing = new RegExp(`^ {0,3}\\${fence[2][0]}{${fence[2].length},}[ \\t]*$`);
    for (let at = start + 1; at < lines.length; at++) if (closing.test(lines[at])) return at + 1;
    return lines.length;
  }
  if (heading(lines[start]) || RULE.test(lines[start])) return start + 1;
  const formulaAt = formulaEnd(lines, start);
  if (formulaAt > 0) return formulaAt;
  let at = start + 1;
  if (QUOTE.test(lines[start])) {
    while (at < lines.length && QUOTE.test(lines[at])) at++;
    return at;
  }
  if (isTable(lines, start)) {
    at = start + 2;
    while (at < lines.length && lines[at].trim() !== "" && lines[at].includes("|")) at++;
    return at;
  }
  const item = lines[start].match(ITEM);
  if (item) return listEnd(lines, start, item);
  while (at < lines.length && lines[at].trim() !== "" && !startsBlock(lines, at)) at++;
  return at;
}

// A formula that stands alone: $$ … $$ or \\[ … \\], on one line or several. Where it ends; 0 if none begins here.
function formulaEnd(lines, start) {
  const first = lines[start].trim();
  const close = first.startsWith("$$") ? "$$" : first.startsWith("\\[") ? "\\]" : null;
  if (close === null) return 0;
  if (first.length > 4 && first.endsWith(close) && first.indexOf(close, 2) === first.length - 2) return start + 1;
  if (first.includes(close, 2)) return 0;
  const last = Math.min(lines.length, start + MOST_FORMULA_LINES);
  for (let at = start + 1; at < last; at++) {
    if (lines[at].trimEnd().endsWith(close)) return at + 1;
    if (lines[at].includes(close)) return 0;
  }
  return 0;
}

function listEnd(lines, start, first) {
  const ordered = /\d/.test(first[2]);
  let at = start + 1;
  let fence = null;
  for (; at < lines.length; at++) {
    const line = lines[at];
    const mark = line.match(/^ *(`{3,}|~{3,})/);
    if (fence !== null) {
      if (mark && mark[1].startsWith(fence)) fence = null;
      continue;
    }
    if (mark && indentOf(line) > first[1].length) {
      fence = mark[1];
      continue;
    }
    if (line.trim() === "") {
      let later = at + 1;
      while (later < lines.length && lines[later].trim() === "") later++;
      const next = lines[later];
      const item = next?.match(ITEM);
      const goesOn = next !== undefined && (indentOf(next) > first[1].length + 1 || (item && item[1].length <= first[1].length + 1 && /\d/.test(item[2]) === ordered));
      if (!goesOn) return at;
      at = later - 1;
      continue;
    }
    const item = line.match(ITEM);
    if (item && item[1].length <= first[1].length + 1 && /\d/.test(item[2]) !== ordered) return at;
    if (!item && indentOf(line) <= first[1].length && startsBlock(lines, at)) return at;
  }
  return at;
}

function startsBlock(lines, at) {
  return FENCE.test(lines[at]) || heading(lines[at]) || formulaEnd(lines, at) > 0 || RULE.test(lines[at]) || QUOTE.test(lines[at]) || ITEM.test(lines[at]) || isTable(lines, at);
}

function isTable(lines, at) {
  return at + 1 < lines.length && lines[at].includes("|") && lines[at + 1].includes("-") && TABLE_RULE.test(lines[at + 1]) && cells(lines[at]).length === cells(lines[at + 1]).length;
}

const indentOf = (line) => line.match(/^ */)[0].length;

function block(lines, depth) {
  const fence = lines[0].match(FENCE);
  if (fence) return codeBlock(lines, fence);
  if (formulaEnd(lines, 0) === lines.length) {
    const source = lines.join("\n").trim();
    return el("p", {}, formula(source.slice(2, -2), true, source));
  }
  const title = lines.length === 1 ? heading(lines[0]) : null;
  // The page has the first two levels; most answers begin with the first or second of their own.
  if (title) return el(`h${Math.min(6, Math.max(3, title.level + 1))}`, {}, inline(title.words));
  if (lines.length === 1 && RULE.test(lines[0])) return el("hr");
  if (QUOTE.test(lines[0])) return el("blockquote", {}, nested(lines.map((line) => line.replace(QUOTE, "")), depth));
  if (isTable(lines, 0)) return table(lines);
  if (ITEM.test(lines[0]) && depth < DEEPEST) return list(lines, depth);
  return el("p", {}, paragraph(lines));
}

function nested(lines, depth) {
  return depth >= DEEPEST ? [lines.join("\n")] : splitBlocks(lines).map((each) => block(each, depth + 1));
}

function paragraph(lines) {
  return lines.flatMap((line, index) => {
    const words = line.replace(/^ +/, "");
    const nodes = inline(words.endsWith("\\") ? words.slice(0, -1) : trimmedEnd(words, " "));
    // Chat models mean the breaks that they write.
    return index < lines.length - 1 ? [...nodes, el("br")] : nodes;
  });
}

function codeBlock(lines, fence) {
  const closed = lines.length > 1 && new RegExp(`^ {0,3}\\${fence[2][0]}{${fence[2].length},}[ \\t]*$`).test(lines.at(-1));
  const code = lines.slice(1, closed ? -1 : undefined).map((line) => line.startsWith(fence[1]) ? line.slice(fence[1].length) : line).join("\n");
  const language = fence[3].trim().split(/\s/)[0].slice(0, 40);
  const shown = el("code", { text: code });
  // While it is being written, its end would be coloured again and again.
  if (closed) colourCode(shown, code, language.toLowerCase());
  const copy = iconButton("copy", t("copyCode"), async () => {
    await navigator.clipboard.writeText(code);
    copy.classList.add("done");
    setTimeout(() => copy.classList.remove("done"), 1200);
  });
  return el("div", { class: "code-block" },
    el("div", { class: "code-head" }, el("span", { text: language || t("code") }), copy),
    el("pre", { tabindex: "0", "aria-label": language ? t("labelled", t("code"), language) : t("code") }, shown));
}

function list(lines, depth) {
  const first = lines[0].match(ITEM);
  const ordered = /\d/.test(first[2]);
  const items = [];
  for (const line of lines) {
    const item = line.match(ITEM);
    if (item && item[1].length <= first[1].length + 1 && /\d/.test(item[2]) === ordered) {
      items.push({ lines: [item[3]], indent: item[1].length + item[2].length + 1 });
    } else {
      const current = items.at(-1);
      current.lines.push(line.slice(Math.min(indentOf(line), current.indent)));
    }
  }
  const loose = items.some((item) => item.lines.slice(0, -1).some((line) => line.trim() === ""));
  const start = ordered ? Number.parseInt(first[2], 10) : 1;
  return el(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? String(start) : null }, items.map((item) => listItem(item.lines, depth, loose)));
}

function listItem(lines, depth, loose) {
  const task = lines[0].match(/^\[([ xX])\][ \t]+(.*)$/);
  const content = nested(task ? [task[2], ...lines.slice(1)] : lines, depth);
  // A tight list has no paragraphs.
  const nodes = content.flatMap((node) => !loose && node.nodeName === "P" ? [...node.childNodes] : [node]);
  const box = task ? [el("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", "aria-label": task[1] === " " ? t("taskOpen") : t("taskDone") }), " "] : [];
  return el("li", { class: task ? "task" : "" }, box, nodes);
}

function cells(line) {
  const row = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  // A bar inside of code, or after a backslash, is none.
  const found = [""];
  let code = false;
  for (let at = 0; at < row.length; at++) {
    if (row[at] === "\\" && row[at + 1] === "|") {
      found[found.length - 1] += "|";
      at++;
    } else if (row[at] === "|" && !code) {
      found.push("");
    } else {
      if (row[at] === "`") code = !code;
      found[found.length - 1] += row[at];
    }
  }
  return found.map((cell) => cell.trim());
}

function table(lines) {
  const aligns = cells(lines[1]).map((rule) => rule.startsWith(":") && rule.endsWith(":") ? "center" : rule.endsWith(":") ? "right" : null);
  const row = (line, tag) => {
    const found = cells(line);
    return el("tr", {}, aligns.map((align, column) => el(tag, { class: align ? `align-${align}` : "", scope: tag === "th" ? "col" : null }, inline(found[column] ?? ""))));
  };
  return el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t("table") }, el("table", {},
    el("thead", {}, row(lines[0], "th")),
    el("tbody", {}, lines.slice(2).map((line) => row(line, "td")))));
}

// What all places of one text share. It is found once, so that time stays linear in the length of the text.
class Places {
  constructor(text) {
    this.text = text;
    this.hopeless = new Set();      // delimiters that have no end from here on
    this.pairs = new Map();         // opening bracket: places of the closing ones
  }

  /** How many equal characters follow from a place on, that one included. */
  run(at) {
    if (!this.runs) {
      this.runs = new Int32Array(this.text.length);
      for (let i = this.text.length - 1; i >= 0; i--) this.runs[i] = this.text[i] === this.text[i + 1] ? this.runs[i + 1] + 1 : 1;
    }
    return this.runs[at];
  }

  /** Where the bracket at a place is closed; -1 if it is not. */
  closing(at, open, close) {
    if (!this.pairs.has(open)) this.pairs.set(open, this.matched(open, close));
    return this.pairs.get(open)[at];
  }

  matched(open, close) {
    const ends = new Int32Array(this.text.length).fill(-1);
    const opened = [];
    for (let i = 0; i < this.text.length; i++) {
      if (this.text[i] === "\\") i++;
      else if (this.text[i] === open) opened.push(i);
      else if (this.text[i] === close && opened.length > 0) ends[opened.pop()] = i;
    }
    return ends;
  }

  /** The next run of backticks of a length after a place; -1 if there is none. Places must not go back. */
  ticks(length, after) {
    if (!this.tickRuns) {
      this.tickRuns = new Map();
      for (let i = this.text.indexOf("`"); i >= 0; i = this.text.indexOf("`", i + this.run(i))) {
        if (!this.tickRuns.has(this.run(i))) this.tickRuns.set(this.run(i), { places: [], next: 0 });
        this.tickRuns.get(this.run(i)).places.push(i);
      }
    }
    const runs = this.tickRuns.get(length);
    if (!runs) return -1;
    while (runs.next < runs.places.length && runs.places[runs.next] <= after) runs.next++;
    return runs.places[runs.next] ?? -1;
  }
}

/** The nodes of a text without blocks. */
export function inline(text, depth = 0) {
  const places = new Places(text);
  const nodes = [];
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain !== "") nodes.push(plain);
    plain = "";
  };
  while (at < text.length) {
    const found = depth < DEEPEST ? special(places, at, depth) : null;
    if (found) {
      flush();
      nodes.push(found.node);
      at = found.end;
    } else if (text[at] === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else if (text[at] === "`") {
      // Backticks that close nothing stay together, as in CommonMark.
      plain += text.slice(at, at + places.run(at));
      at += places.run(at);
    } else {
      plain += text[at++];
    }
  }
  flush();
  return nodes;
}

// What begins at a place, and where it ends; null for plain text.
function special(places, at, depth) {
  const { text } = places;
  switch (text[at]) {
    case "`": return inlineCode(places, at);
    case "$": return dollarFormula(places, at);
    case "\\": return text[at + 1] === "(" ? closedFormula(places, at, "\\)", false) : text[at + 1] === "[" ? closedFormula(places, at, "\\]", true) : null;
    case "*":
    case "_":
    case "~": return emphasis(places, at, depth);
    case "!": return text[at + 1] === "[" ? link(places, at + 1, at, depth) : null;
    case "[": return link(places, at, at, depth);
    case "<": return angleLink(text, at);
    case "h": return bareLink(text, at);
    default: return null;
  }
}

function inlineCode(places, at) {
  const { text } = places;
  const run = places.run(at);
  const end = places.ticks(run, at);
  if (end < 0) return null;
  const code = text.slice(at + run, end);
  const trimmed = code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "" ? code.slice(1, -1) : code;
  return { node: el("code", { text: trimmed }), end: end + run };
}

// \\( … \\) and \\[ … \\] inside of a line.
function closedFormula(places, at, close, isDisplay) {
  const { text } = places;
  if (places.hopeless.has(close)) return null;
  const end = text.slice(at + 2, at + 2 + LONGEST_FORMULA).indexOf(close);
  if (end < 0) {
    if (text.length - at < LONGEST_FORMULA) places.hopeless.add(close);
    return null;
  }
  if (end === 0) return null;
  return { node: formula(text.slice(at + 2, at + 2 + end), isDisplay, text.slice(at, at + 4 + end)), end: at + 4 + end };
}

// $ … $ and $$ … $$: no space just inside, and no digit behind, so that prices stay text.
function dollarFormula(places, at) {
  const { text } = places;
  const size = Math.min(places.run(at), 2);
  const mark = "$".repeat(size);
  if (places.run(at) > 2 || /\s/.test(text[at + size] ?? " ") || places.hopeless.has(mark)) return null;
  const most = Math.min(text.length, at + LONGEST_FORMULA);
  for (let end = text.indexOf("$", at + size); end >= 0 && end < most; end = text.indexOf("$", end + places.run(end))) {
    if (places.run(end) !== size || text[end - 1] === "\\") continue;
    if (/\s/.test(text[end - 1]) || /\d/.test(text[end + size] ?? "")) return null;
    return { node: formula(text.slice(at + size, end), size === 2, text.slice(at, end + size)), end: end + size };
  }
  if (text.length - at < LONGEST_FORMULA) places.hopeless.add(mark);
  return null;
}

const isWord = (char) => char !== undefined && /[\p{L}\p{N}]/u.test(char);

function emphasis(places, at, depth) {
  const { text } = places;
  const mark = text[at];
  const run = places.run(at);
  const size = mark === "~" ? 2 : Math.min(run, 3);
  if ((mark === "~" && run !== 2) || run > 3 || /\s/.test(text[at + run] ?? " ") || (mark === "_" && isWord(text[at - 1]))) return null;
  const delimiter = mark.repeat(size);
  if (places.hopeless.has(delimiter)) return null;
  for (let end = text.indexOf(delimiter, at + size); end >= 0; end = text.indexOf(delimiter, end + 1)) {
    const length = places.run(end);
    if (/\s/.test(text[end - 1]) || text[end - 1] === "\\" || (mark === "_" && isWord(text[end + length]))) continue;
    // "**bold *both***": the inner one ends first.
    const stop = length > size ? end + length - size : end;
    if (length > size && size === 1 && length === 2) {
      end += 1;
      continue;
    }
    const inner = inline(text.slice(at + size, stop), depth + 1);
    const node = mark === "~" ? el("del", {}, inner) : size === 1 ? el("em", {}, inner) : size === 2 ? el("strong", {}, inner) : el("strong", {}, el("em", {}, inner));
    return { node, end: stop + size };
  }
  // What ends here does not depend on where it began, so no later place finds an end either.
  places.hopeless.add(delimiter);
  return null;
}

// [words](address "title") from the bracket on; with start one before it, a picture.
function link(places, bracket, start, depth) {
  const { text } = places;
  const close = places.closing(bracket, "[", "]");
  if (close < 0 || close - bracket > LONGEST_LINK || text[close + 1] !== "(") return null;
  const end = places.closing(close + 1, "(", ")");
  if (end < 0 || end - close > LONGEST_LINK) return null;
  const target = text.slice(close + 2, end).trim().match(/^<?(\S*?)>?(?:\s+["'(].*["')])?$/s);
  const words = text.slice(bracket + 1, close);
  if (!target) return null;
  const isPicture = start !== bracket;
  return { node: anchor(target[1], isPicture ? [words || target[1]] : inline(words, depth + 1)), end: end + 1 };
}

function angleLink(text, at) {
  const found = text.slice(at, at + 2000).match(/^<((?:https?:\/\/|mailto:)[^\s<>]+)>/i);
  return found ? { node: anchor(found[1], [found[1]]), end: at + found[0].length } : null;
}

function bareLink(text, at) {
  if (isWord(text[at - 1])) return null;
  // Chinese text goes on behind an address without a space.
  const found = text.slice(at, at + 2000).match(/^https?:\/\/[\p{L}\p{N}][\w\-.~:/?#@!$&'()*+,;=%]*/u);
  if (!found) return null;
  let address = trimmedEnd(found[0], ".,;:!?'\"*");
  if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
  return { node: anchor(address, [address]), end: at + address.length };
}

function anchor(address, children) {
  const safe = safeAddress(address);
  return safe === null
    ? el("span", {}, children)
    : el("a", { href: safe, target: "_blank", rel: "noopener noreferrer nofollow", referrerpolicy: "no-referrer" }, children);
}

// Formulas and colours of code, by KaTeX and highlight.js. Both are loaded when they are first needed, and neither parses HTML here: what
// they found is turned into elements one by one, like everything else on these pages.

import { el } from "./dom.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const LONGEST_CODE = 20_000;        // characters; longer code stays plain
const KATEX = { output: "mathml", throwOnError: true, strict: false, trust: false, maxExpand: 200, maxSize: 20 };

let katex = null;
let highlighter = null;
let [katexLoading, highlighterLoading] = [null, null];

const loadKatex = () => katexLoading ??= import("./katex.min.js").then(() => { ({ katex } = globalThis); });
const loadHighlighter = () => highlighterLoading ??= import("./highlight.min.js").then((loaded) => { highlighter = loaded.default; });

/** A formula in TeX; as it is written where it is wrong, and until the library is there. */
export function formula(tex, isDisplay, source) {
  const node = el("span", { class: isDisplay ? "math display" : "math", text: source });
  const show = () => {
    try {
      const tree = katex.__renderToDomTree(tex, { ...KATEX, displayMode: isDisplay });
      node.replaceChildren(...tree.children.map(mathNode));
    } catch {
      node.classList.add("plain");
    }
  };
  if (katex) show();
  else loadKatex().then(show, () => {});
  return node;
}

// The library's own tree in MathML, without styles, which the content security policy does not allow.
function mathNode(made) {
  if (made.type === undefined) return document.createTextNode(made.text ?? "");
  const node = document.createElementNS(MATHML, made.type);
  for (const [name, value] of Object.entries(made.attributes)) if (name !== "style" && name !== "href") node.setAttribute(name, value);
  node.append(...made.children.map(mathNode));
  return node;
}

/** The nodes of code, coloured if its language is known. */
export function colourCode(node, code, language) {
  if (code.length > LONGEST_CODE || language === "") return;
  const show = () => {
    if (!highlighter.getLanguage(language)) return;
    const { _emitter: { rootNode } } = highlighter.highlight(code, { language, ignoreIllegals: true });
    node.replaceChildren(...rootNode.children.map(codeNode));
  };
  if (highlighter) show();
  else loadHighlighter().then(show, () => {});
}

function codeNode(made) {
  if (typeof made === "string") return made;
  const classes = (made.scope ?? "").split(".").map((part, place) => place === 0 ? `hl-${part.replace(/[^\w-]/g, "")}` : `${part.replace(/[^\w-]/g, "")}_`).join(" ");
  return el("span", { class: classes }, made.children.map(codeNode));
}

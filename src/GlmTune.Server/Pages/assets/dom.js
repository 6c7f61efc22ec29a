// Builds elements. Text only ever becomes text: nothing here, or anywhere in these pages, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props`: `class`, `text`, `on` (listeners by event), `value`, `checked` and the like as properties, anything else as an
 * attribute; null, undefined and false leave an attribute out. Children: nodes, strings, nulls, and lists of them; long ones as lists, since
 * the number of arguments is limited.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (["value", "checked", "disabled", "hidden", "open", "selected"].includes(name)) node[name] = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/** An SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Strokes on a 24 by 24 grid.
const ICONS = {
  plus: ["M12 5v14", "M5 12h14"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  sliders: ["M4 7h9", "M19 7h1", "M16 4.5v5", "M4 17h2", "M12 17h8", "M9 14.5v5"],
  send: ["M12 19V5", "M6 11l6-6 6 6"],
  stop: ["M7 7h10v10H7z"],
  copy: ["M9 9h10v10H9z", "M15 9V5H5v10h4"],
  pencil: ["M5 19l1-4L16 5l3 3L9 18z", "M14 7l3 3"],
  refresh: ["M19 12a7 7 0 1 1-2.2-5.1", "M19 4v4h-4"],
  trash: ["M5 7h14", "M10 7V5h4v2", "M7 7l1 12h8l1-12"],
  download: ["M12 5v10", "M8 11l4 4 4-4", "M5 19h14"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  check: ["M5 12l5 5 9-10"],
  columns: ["M4 5h16v14H4z", "M12 5v14"],
  theme: ["M12 4a8 8 0 1 0 0 16z", "M12 4a8 8 0 0 1 0 16"],
  keyboard: ["M3 7h18v10H3z", "M7 11h.01", "M12 11h.01", "M17 11h.01", "M8 14h8"],
  tool: ["M14.5 6.5a4 4 0 0 0-5 5L4 17l3 3 5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3z"],
  chart: ["M4 19h16", "M5 15l5-5 4 3 5-7"],
  chat: ["M4 5h16v11H11l-4 4v-4H4z"],
};

/** A picture that says nothing to screen readers: its button has the words. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" }, ...ICONS[name].map((d) => svg("path", { d })));
}

/** A button with a picture; its label is read out and shown as a hint. */
export function iconButton(name, label, onClick, props = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, ...props, on: { click: onClick } }, icon(name));
}

/** Hands a text or blob to the browser as a file to keep. */
export function download(name, content, type) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

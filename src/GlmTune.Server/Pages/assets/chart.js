// One chart of curves over steps, in SVG, to be read by eye, pointer, keys, or as a file.

import { download, el, iconButton, svg } from "./dom.js";
import { t } from "./text.js";

const STEPS = { words: "stepAxis", tick: String, tell: (value) => t("step", value) };
const LEAST_DRAG = 8;               // pixels; less is a click
const HEIGHT = 240;
const MARGIN = { top: 10, right: 14, bottom: 28, left: 58 };

/** A number as short as it can be told. */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(size >= 1000 ? 5 : 4)));
}

export class Chart {
  /** @param options `name` (of files), `title`; `onZoom` gets the part to show, `[from, to]`, or null for all. */
  constructor({ name, title, onZoom = null }) {
    Object.assign(this, { name, title, onZoom, series: [], steps: [], isLog: false, axis: STEPS, range: null, place: null, from: null });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "img" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.said = el("span", { class: "hidden", role: "status" });
    this.legend = el("ul", { class: "legend" });
    this.heading = el("h3", { text: title });
    this.element = el("figure", { class: "chart" },
      el("figcaption", {}, this.heading, el("span", { class: "spacer" }),
        iconButton("download", t("labelled", t("exportPng"), title), () => this.savePng()),
        el("button", { type: "button", class: "text-button", text: "CSV", "aria-label": t("labelled", t("exportCsv"), title), title: t("exportCsv"), on: { click: () => download(`${name}.csv`, this.toCsv(), "text/csv") } })),
      el("div", { class: "plot-area" }, this.plot, this.tip), this.legend, this.said);
    const placeOf = (event) => event.clientX - this.plot.getBoundingClientRect().left;
    this.plot.addEventListener("pointermove", (event) => this.from === null ? this.point(placeOf(event)) : this.drag(placeOf(event)));
    this.plot.addEventListener("pointerleave", () => this.unpoint());
    if (onZoom) {
      this.plot.addEventListener("pointerdown", (event) => this.startDrag(event, placeOf(event)));
      this.plot.addEventListener("pointerup", (event) => this.endDrag(placeOf(event)));
      this.plot.addEventListener("pointercancel", () => this.endDrag(this.from));
      this.plot.addEventListener("dblclick", () => onZoom(null));
    }
    this.plot.addEventListener("blur", () => this.unpoint());
    this.plot.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /**
   * Shows curves.
   * @param series `[{label, color, dash, steps, values, raw?, dots?}]`; `raw` is drawn faintly behind.
   * @param axis What `steps` are: `{words, tick(value), tell(value)}`.
   * @param range The part that is shown, `[from, to]`; null: all.
   */
  show(series, isLog = false, axis = STEPS, range = null) {
    this.series = series.filter((each) => each.steps.length > 0);
    Object.assign(this, { isLog, axis, range });
    this.element.hidden = this.series.length === 0;
    this.steps = [...new Set(this.series.flatMap((each) => each.steps))].sort((a, b) => a - b);
    this.legend.replaceChildren(...(this.series.length > 1 ? this.series.map((each) => el("li", {}, swatch(each), el("span", { text: each.label }))) : []));
    const ends = this.series.map((each) => `${each.label} ${short(each.values.at(-1))}`).join("; ");
    this.plot.setAttribute("aria-label", `${t("labelled", this.title, ends)}. ${t("chartHelp")}`);
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth;
    if (width === 0 || this.series.length === 0) return;
    this.plot.replaceChildren(this.picture(width));
    if (this.place !== null) this.mark();
  }

  // A colour of the page as it is now: light or dark.
  color(name) {
    const probe = el("span");
    probe.style.color = `var(${name})`;
    this.plot.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }

  // Colours stand in the picture itself, so that it looks the same as a file.
  picture(width) {
    const [lineColor, textColor] = [this.color("--line"), this.color("--muted")];
    this.scale(width);
    const root = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true", "font-family": "Inter, system-ui, sans-serif", "font-size": "11.5" });
    for (const tick of this.yTicks) {
      const y = this.y(tick);
      root.append(svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y, stroke: lineColor }));
      // All ticks of an axis are written alike.
      const words = tick !== 0 && Math.max(...this.yTicks.map(Math.abs)) < 0.01 ? tick.toExponential().replace("e+", "e") : short(tick);
      root.append(svg("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end", fill: textColor }, words));
    }
    for (const tick of this.xTicks) {
      root.append(svg("text", { x: this.x(tick), y: HEIGHT - 8, "text-anchor": "middle", fill: textColor }, this.axis.tick(tick)));
    }
    root.append(svg("text", { x: MARGIN.left - 8, y: HEIGHT - 8, "text-anchor": "end", fill: textColor }, t(this.axis.words)));
    if (this.range) {
      root.append(svg("clipPath", { id: `clip-${this.name}` }, svg("rect", { x: MARGIN.left, y: 0, width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.bottom })));
    }
    const curves = svg("g", this.range ? { "clip-path": `url(#clip-${this.name})` } : {});
    root.append(curves);
    for (const each of this.series) {
      if (each.raw) curves.append(svg("path", { d: this.path(each.steps, each.raw, width), fill: "none", stroke: each.color, "stroke-opacity": "0.28", "stroke-width": "1" }));
      curves.append(svg("path", { d: this.path(each.steps, each.values, width), fill: "none", stroke: each.color, "stroke-width": "1.8", "stroke-linejoin": "round", "stroke-dasharray": each.dash ?? "none", class: "curve" }));
      if (each.dots || each.steps.length === 1) for (const [index, step] of each.steps.entries()) curves.append(svg("circle", { cx: this.x(step), cy: this.y(each.values[index]), r: "3", fill: each.color }));
    }
    return root;
  }

  scale(width) {
    const [from, to] = this.range ?? [-Infinity, Infinity];
    // The points that are shown, and those before and after them, from which lines come in.
    const isIn = (steps, at) => (steps[at + 1] ?? Infinity) >= from && (steps[at - 1] ?? -Infinity) <= to;
    const values = this.series.flatMap((each) => [each.values, each.raw ?? []].flatMap((list) => list.filter((_, at) => isIn(each.steps, at)))).filter((value) => Number.isFinite(value) && (!this.isLog || value > 0));
    let [low, high] = values.length > 0 ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 1];
    if (this.isLog) {
      [low, high] = [Math.log10(low), Math.log10(high)];
    }
    if (high - low < 1e-12 + Math.abs(high) * 1e-6) [low, high] = [low - Math.max(Math.abs(low) * 0.1, 1e-9), high + Math.max(Math.abs(high) * 0.1, 1e-9)];
    const space = (high - low) * 0.06;
    [low, high] = [low >= 0 && low - space < 0 && !this.isLog ? 0 : low - space, high + space];
    const [first, last] = this.range ?? [this.steps[0], this.steps.at(-1)];
    const span = Math.max(1e-9, last - first) || 1;
    this.atPixel = (x) => first + ((x - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * span;
    this.x = (step) => MARGIN.left + ((step - first) / span) * (width - MARGIN.left - MARGIN.right);
    this.y = (value) => MARGIN.top + ((high - (this.isLog ? Math.log10(Math.max(value, 1e-300)) : value)) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    this.yTicks = this.isLog ? logTicks(low, high) : ticks(low, high, 5);
    this.xTicks = ticks(first, last, Math.max(2, Math.floor(width / 110))).filter(Number.isInteger).filter((tick) => this.x(tick) - this.axis.tick(tick).length * 3.3 > MARGIN.left - 6);
  }

  // More points than pixels: of each pixel's points, the lowest and highest are drawn.
  path(steps, values, width) {
    const every = Math.max(1, Math.floor(steps.length / (width * 2)));
    const points = [];
    for (let at = 0; at < steps.length; at += every) {
      const end = Math.min(steps.length, at + every);
      let [low, high] = [at, at];
      for (let i = at; i < end; i++) {
        if (values[i] < values[low]) low = i;
        if (values[i] > values[high]) high = i;
      }
      points.push(...(low === high ? [low] : [Math.min(low, high), Math.max(low, high)]));
    }
    return points.map((i, index) => `${index === 0 ? "M" : "L"}${this.x(steps[i]).toFixed(1)} ${this.y(values[i]).toFixed(1)}`).join("");
  }

  point(x) {
    if (!this.x || this.steps.length === 0) return;
    let nearest = 0;
    for (let i = 1; i < this.steps.length; i++) if (this.isShown(this.steps[i]) && Math.abs(this.x(this.steps[i]) - x) < Math.abs(this.x(this.steps[nearest]) - x)) nearest = i;
    this.place = nearest;
    this.mark();
  }

  isShown(step) {
    return !this.range || (step >= this.range[0] && step <= this.range[1]);
  }

  // A part is chosen by drawing over it, with a mouse or pen: a finger scrolls the page.
  startDrag(event, x) {
    if (event.button !== 0 || event.pointerType === "touch" || !this.x) return;
    this.from = x;
    this.plot.setPointerCapture(event.pointerId);
  }

  drag(x) {
    this.unpoint();
    this.plot.querySelector(".zone")?.remove();
    this.plot.firstChild?.append(svg("rect", { class: "zone", x: Math.min(this.from, x), y: MARGIN.top, width: Math.abs(x - this.from), height: HEIGHT - MARGIN.top - MARGIN.bottom }));
  }

  endDrag(x) {
    const { from } = this;
    this.from = null;
    this.plot.querySelector(".zone")?.remove();
    if (from !== null && Math.abs(x - from) >= LEAST_DRAG) this.onZoom([this.atPixel(Math.min(from, x)), this.atPixel(Math.max(from, x))]);
  }

  // Twice as near or as far, around the place that is read.
  zoomKey(isNearer) {
    const [first, last] = this.range ?? [this.steps[0], this.steps.at(-1)];
    const middle = this.place === null ? (first + last) / 2 : this.steps[this.place];
    const half = (last - first) * (isNearer ? 0.25 : 1);
    const [from, to] = [Math.max(this.steps[0], middle - half), Math.min(this.steps.at(-1), middle + half)];
    this.onZoom(from <= this.steps[0] && to >= this.steps.at(-1) ? null : [from, to]);
  }

  unpoint() {
    this.place = null;
    this.tip.hidden = true;
    this.plot.querySelector(".cursor")?.remove();
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.unpoint();
    if (this.onZoom && this.steps.length > 1 && (event.key === "+" || event.key === "-")) this.zoomKey(event.key === "+");
    if (!(event.key in moves) || this.steps.length === 0) return;
    event.preventDefault();
    const from = this.place ?? (moves[event.key] < 0 ? this.steps.length : -1);
    this.place = Math.max(0, Math.min(this.steps.length - 1, from + moves[event.key]));
    this.mark();
    this.said.textContent = this.readout().map((each) => `${each.label} ${short(each.value)}`).join(", ");
  }

  // What each curve has at the place, or last had before it.
  readout() {
    const step = this.steps[this.place];
    return this.series.flatMap((each) => {
      const index = each.steps.findLastIndex((other) => other <= step);
      return index < 0 ? [] : [{ ...each, value: (each.raw ?? each.values)[index] }];
    });
  }

  mark() {
    const step = this.steps[Math.min(this.place, this.steps.length - 1)];
    const x = this.x(step);
    this.plot.querySelector(".cursor")?.remove();
    this.plot.firstChild?.append(svg("line", { class: "cursor", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, stroke: "currentColor", "stroke-opacity": "0.35" }));
    this.tip.replaceChildren(el("strong", { text: this.axis.tell(step) }), ...this.readout().map((each) => el("div", {}, swatch(each), el("span", { text: each.label }), el("b", { text: short(each.value) }))));
    this.tip.hidden = false;
    const isRight = x > this.plot.clientWidth / 2;
    this.tip.style.left = isRight ? "auto" : `${x + 12}px`;
    this.tip.style.right = isRight ? `${this.plot.clientWidth - x + 12}px` : "auto";
  }

  /** The curves as a table: a row for each step, a column for each curve. */
  toCsv() {
    const quoted = (text) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    const columns = this.series.map((each) => new Map(each.steps.map((step, index) => [step, (each.raw ?? each.values)[index]])));
    return [["step", ...this.series.map((each) => quoted(each.label))], ...this.steps.map((step) => [step, ...columns.map((column) => column.get(step) ?? "")])].map((row) => row.join(",") + "\n").join("");
  }

  async savePng() {
    const scale = 2;
    const [width, head] = [960, 44];
    const picture = this.picture(width);
    picture.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    const address = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(picture)], { type: "image/svg+xml" }));
    const image = new Image();
    image.src = address;
    await image.decode();
    const legend = this.series.length > 1 ? 30 : 0;
    const canvas = el("canvas", { width: width * scale, height: (HEIGHT + head + legend) * scale });
    const draw = canvas.getContext("2d");
    draw.scale(scale, scale);
    draw.fillStyle = this.color("--raised");
    draw.fillRect(0, 0, width, HEIGHT + head + legend);
    draw.fillStyle = getComputedStyle(this.plot).color;
    draw.font = "600 16px Inter, system-ui, sans-serif";
    draw.fillText(this.title, 16, 29);
    draw.drawImage(image, 0, head, width, HEIGHT);
    draw.font = "12px Inter, system-ui, sans-serif";
    let x = MARGIN.left;
    if (legend > 0) for (const each of this.series) {
      draw.fillStyle = each.color;
      draw.fillRect(x, HEIGHT + head + 9, 14, 4);
      draw.fillStyle = getComputedStyle(this.plot).color;
      draw.fillText(each.label, x + 20, HEIGHT + head + 15);
      x += 40 + draw.measureText(each.label).width;
    }
    URL.revokeObjectURL(address);
    canvas.toBlob((blob) => download(`${this.name}.png`, blob), "image/png");
    this.draw();
  }
}

function swatch(each) {
  return svg("svg", { width: "18", height: "8", "aria-hidden": "true", class: "swatch" }, svg("line", { x1: "0", x2: "18", y1: "4", y2: "4", stroke: each.color, "stroke-width": "2.5", "stroke-dasharray": each.dash ?? "none" }));
}

// More ticks than any axis shows; the number never depends on the values alone.
const MOST_TICKS = 50;

/** Round places between two numbers, about as many as asked for. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999) ?? raw;
  const first = Math.ceil(low / size - 1e-9);
  const number = Math.min(MOST_TICKS, Math.floor(high / size + 1e-9) - first + 1);
  if (!(number > 0) || !Number.isSafeInteger(first)) return [low];
  return Array.from({ length: number }, (_, index) => Number(((first + index) * size).toPrecision(12)));
}

function logTicks(low, high) {
  const first = Math.floor(low);
  const number = Math.ceil(high) - first + 1;
  if (!(number > 0 && number < 1000)) return [];
  return Array.from({ length: number }, (_, index) => first + index)
    .flatMap((power) => (high - low > 2 ? [1] : [1, 2, 5]).map((each) => Number((each * 10 ** power).toPrecision(3))))
    .filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
}

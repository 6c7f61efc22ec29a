// The panel with system prompt, sampling and tools of a conversation.

import { toolsOf } from "./conversations.js";
import { el, iconButton } from "./dom.js";
import { t } from "./text.js";

const SLIDERS = [
  { key: "temperature", field: "temperature", words: "temperature", min: 0, max: 2, step: 0.05, start: 0.8 },
  { key: "topP", field: "top_p", words: "topP", min: 0.05, max: 1, step: 0.05, start: 0.8 },
  { key: "maxTokens", field: "max_tokens", words: "maxTokens", min: 16, max: 8192, step: 16, start: 1024 },
  { key: "repetitionPenalty", field: "repetition_penalty", words: "repetitionPenalty", min: 1, max: 2, step: 0.05, start: 1.1 },
];

/**
 * Fills the panel.
 * @param settings Changed in place as somebody moves things.
 * @param model The model that answers: its limit, and the values that hold where nothing is set.
 * @param serverTools What the server can run.
 * @param changed Called with each change.
 * @param close Closes the panel.
 */
export function showSettings(settings, model, serverTools, changed, close) {
  const limit = model?.max_model_len;
  const panel = document.getElementById("settings");
  const change = (key, value) => {
    if (value === null || value === "") delete settings[key];
    else settings[key] = value;
    changed();
  };
  panel.replaceChildren(
    el("div", { class: "head" }, el("h2", { text: t("settings") }), iconButton("close", t("close"), close)),
    el("p", { class: "muted small", text: t("keptFor") }),
    el("h3", {}, el("label", { for: "system", text: t("systemPrompt") })),
    el("textarea", { id: "system", class: "field", placeholder: t("systemPlaceholder"), value: settings.system ?? "", on: { input: (event) => { settings.system = event.target.value; changed(); } } }),
    el("h3", { text: t("sampling") }),
    ...SLIDERS.map((slider) => sliderRow({ ...slider, max: slider.key === "maxTokens" ? Math.max(slider.min, Math.min(slider.max, limit ?? slider.max)) : slider.max }, settings, change, model?.defaults?.[slider.field])),
    seedRow(settings, change),
    ...toolsPart(settings, serverTools, changed));
}

// What nobody moved is not sent, so that the model's own generation configuration holds.
function sliderRow(slider, settings, change, held) {
  const words = (value) => slider.step < 1 ? value.toFixed(2) : String(value);
  const output = el("output", { for: `slider-${slider.key}` });
  const input = el("input", { type: "range", id: `slider-${slider.key}`, min: slider.min, max: slider.max, step: slider.step });
  const reset = el("button", { type: "button", class: "text-button", text: "×", title: t("useDefault"), "aria-label": t("labelled", t(slider.words), t("useDefault")) });
  const show = () => {
    const value = settings[slider.key];
    input.value = value ?? held ?? slider.start;
    output.textContent = value !== undefined ? words(value) : held === undefined ? t("modelDefault") : t("valueByDefault", words(held));
    output.classList.toggle("unset", value === undefined);
    input.setAttribute("aria-valuetext", output.textContent);
    reset.hidden = value === undefined;
    row.classList.toggle("unset", value === undefined);
  };
  input.addEventListener("input", () => {
    change(slider.key, Number(input.value));
    show();
  });
  reset.addEventListener("click", () => {
    change(slider.key, null);
    show();
    input.focus();
  });
  const row = el("div", { class: "slider" },
    el("div", { class: "line" }, el("label", { for: input.id, text: t(slider.words) }), el("span", {}, output, reset)),
    input);
  show();
  return row;
}

function seedRow(settings, change) {
  return el("div", { class: "seed" },
    el("label", { for: "seed", text: t("seed") }),
    el("input", { id: "seed", class: "field", inputmode: "numeric", placeholder: t("seedPlaceholder"), value: settings.seed ?? "", on: { input: (event) => {
      const isWhole = /^\d{1,9}$/.test(event.target.value.trim());
      event.target.setAttribute("aria-invalid", String(event.target.value.trim() !== "" && !isWhole));
      change("seed", isWhole ? Number(event.target.value) : null);
    } } }));
}

function toolsPart(settings, serverTools, changed) {
  const note = el("p", { id: "tools-note", class: "small muted" });
  const field = el("textarea", { id: "tools", class: "field code-field", spellcheck: "false", "aria-describedby": "tools-note", placeholder: '[{"name": "get_weather", "description": "…", "parameters": {…}}]', value: settings.tools ?? "" });
  const check = () => {
    let [words, isWrong] = [t("toolsHint"), false];
    try {
      const tools = toolsOf(settings);
      if (tools.length > 0) words = t("toolsRead") + tools.map((tool) => tool.function.name).join(", ");
    } catch (error) {
      [words, isWrong] = [t("toolsWrong") + error.message, true];
    }
    note.textContent = words;
    note.classList.toggle("wrong", isWrong);
    field.setAttribute("aria-invalid", String(isWrong));
  };
  field.addEventListener("input", () => {
    settings.tools = field.value;
    check();
    changed();
  });
  check();
  const boxes = serverTools.map((tool) => el("label", { class: "server-tool", title: tool.description },
    el("input", { type: "checkbox", checked: settings.serverTools?.includes(tool.name) ?? false, on: { change: (event) => {
      settings.serverTools = (settings.serverTools ?? []).filter((name) => name !== tool.name);
      if (event.target.checked) settings.serverTools.push(tool.name);
      changed();
    } } }), el("span", { text: tool.name }), tool.allowed ? el("span", { class: "muted small", text: t("runsAutomatically") }) : null));
  const group = boxes.length === 0 ? null : el("fieldset", {}, el("legend", { class: "small muted", text: t("serverTools") }), ...boxes);
  return [el("h3", {}, el("label", { for: "tools", text: t("tools") })), group, field, note].filter(Boolean);
}

/** The settings as fields of a request. */
export function requestFields(settings) {
  const names = { temperature: "temperature", topP: "top_p", maxTokens: "max_tokens", repetitionPenalty: "repetition_penalty", seed: "seed" };
  const fields = {};
  for (const [key, name] of Object.entries(names)) if (settings[key] !== undefined) fields[name] = settings[key];
  return fields;
}

// The form of a recipe, made from the fields that the server lists: each key with its values, its default and its explanation.

import { el } from "./dom.js";
import { isChinese, t } from "./text.js";

// Where a key is asked for elsewhere on the page, or is decided by the studio.
const ELSEWHERE = new Set(["data_config.train_file", "data_config.val_file", "data_config.test_file", "training_args.output_dir", "training_args.resume_from_checkpoint"]);

export class RecipeForm {
  /** @param onChange Gets `{key: value}`; null removes a key. */
  constructor(fields, onChange) {
    Object.assign(this, { onChange, inputs: new Map(), groups: [], showsAll: new Set() });
    this.element = el("div", { class: "form" });
    for (const field of fields.filter((each) => !ELSEWHERE.has(each.path))) this.groupOf(field).fields.push(field);
    this.element.append(...this.groups.map((group) => this.build(group)));
  }

  groupOf(field) {
    const words = field.group[isChinese() ? 1 : 0];
    const key = `${field.section}|${field.group[0]}`;
    let group = this.groups.find((each) => each.key === key);
    if (!group) {
      const title = [field.section, words].filter((part) => part !== "").join(" · ") || t("wholeFile");
      group = { key, title, fields: [], adapter: field.adapter };
      this.groups.push(group);
    }
    return group;
  }

  build(group) {
    group.rows = group.fields.map((field) => this.row(field));
    const all = el("button", { type: "button", class: "text-button", on: { click: () => {
      if (!this.showsAll.delete(group.key)) this.showsAll.add(group.key);
      this.fold(group);
    } } });
    Object.assign(group, { all, list: el("div", { class: "fields" }, ...group.rows) });
    group.element = el("fieldset", { class: "group" }, el("legend", { text: group.title }), group.list, all);
    return group.element;
  }

  row(field) {
    const id = `field-${field.path}`;
    const input = this.input(field, id);
    this.inputs.set(field.path, { field, input });
    const name = field.path.slice(field.path.lastIndexOf(".") + 1);
    return el("div", { class: "key", "data-path": field.path },
      el("label", { for: id, class: "option", text: name }), input,
      el("p", { id: `${id}-text`, class: "muted small" }, ...withCode(field.meaning[isChinese() ? 1 : 0])));
  }

  input(field, id) {
    const props = { class: "field", id, "aria-describedby": `${id}-text`, on: { change: (event) => this.changed(field, event.target.value) } };
    const words = field.kind === "flag" ? [...(field.takes_auto ? ["auto"] : []), "true", "false"] : field.kind === "choice" ? field.words : null;
    if (words !== null) return el("select", props, el("option", { value: "", text: field.default === "null" ? t("notSet") : t("defaultIs", field.default) }), words.map((word) => el("option", { value: word, text: word })));
    const isNumber = (field.kind === "whole" || field.kind === "number") && !field.takes_auto;
    return el("input", { ...props, type: "text", inputmode: isNumber ? "decimal" : "text", autocomplete: "off", spellcheck: "false", placeholder: field.default === "null" ? t("notSet") : field.default.replaceAll("`", "") });
  }

  changed(field, value) {
    this.onChange({ [field.path]: value.trim() === "" ? null : value.trim() });
  }

  /** Shows values by key, and marks the keys that problems name. */
  show(values, problems) {
    const kind = (values["peft_config.peft_type"] ?? "").toUpperCase();
    for (const [path, { input }] of this.inputs) {
      const value = values[path] ?? "";
      if (document.activeElement !== input) setValue(input, value);
      input.closest(".key").classList.toggle("set", path in values);
      input.setAttribute("aria-invalid", String(problems.some((line) => line.includes(`'${path}'`))));
    }
    for (const group of this.groups) {
      group.element.hidden = group.adapter !== null && group.adapter !== kind;
      this.fold(group);
    }
  }

  // What the recipe sets is shown; the rest on request.
  fold(group) {
    const shows = this.showsAll.has(group.key);
    const others = group.rows.filter((row) => !row.classList.contains("set"));
    for (const row of group.rows) row.hidden = !shows && !row.classList.contains("set");
    group.all.hidden = others.length === 0;
    group.all.textContent = shows ? t("onlySet") : t("moreSettings", others.length);
    group.all.setAttribute("aria-expanded", String(shows));
  }
}

// A word in another case or notation is the same choice; one that is no choice is shown all the same, to be mended.
function setValue(input, value) {
  if (input.tagName === "SELECT" && ![...input.options].some((option) => option.value === value)) {
    const same = [...input.options].find((option) => option.value.toLowerCase() === value.toLowerCase());
    if (same) value = same.value;
    else input.append(el("option", { value, text: value }));
  }
  input.value = value;
}

// `code` in a text of the documentation.
const withCode = (text) => text.split("`").map((part, place) => place % 2 === 1 ? el("code", { text: part }) : part);

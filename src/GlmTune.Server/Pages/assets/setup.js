// A new run: model, data, recipe, whether it fits, and the button that starts it. Only the YAML is kept; all else follows from it.

import { getJson, postJson } from "./api.js";
import { DataReport, noteList, problemBox } from "./datareport.js";
import { el } from "./dom.js";
import { RecipeForm } from "./form.js";
import { withKey } from "./shell.js";
import { language, locale, t } from "./text.js";

const KEPT = "glmtune.studio";
const FIRST_RECIPE = "lora-nano";
const SMALL_MODEL = 1e9;            // parameters; larger ones start from the recipe of the 9B model
const LARGE_RECIPE = "lora";
const CARDS = ["8GB", "12GB", "16GB", "24GB", "40GB", "80GB"];
const SPLITS = [["train_file", "trainFile"], ["val_file", "valFile"], ["test_file", "testFile"]];

export class SetupView {
  /** @param options `onStarted(job)`; `names()`: those that are taken. */
  constructor({ onStarted, names }) {
    Object.assign(this, { name: "", onStarted, names, choices: null, fields: [], draft: this.kept() });
    this.element = el("div", { class: "setup" });
    this.load();
  }

  close() {
    this.closed = true;
  }

  async follow() {}

  kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
    } catch {
      return {};
    }
  }

  keep() {
    sessionStorage.setItem(KEPT, JSON.stringify(this.draft));
  }

  async load() {
    try {
      [this.choices, { fields: this.fields }] = await Promise.all([this.ask(`/api/studio`), this.ask(`/api/studio/form`)]);
    } catch (error) {
      this.element.replaceChildren(problemBox([error.message]));
      return;
    }
    if (this.closed) return;
    this.build();
    if (!this.choices.models.some((model) => model.name === this.draft.model)) this.draft.model = this.choices.models[0]?.name ?? "";
    if (this.draft.recipe === undefined) await this.chooseRecipe(this.firstRecipe(), true);
    else await this.change({});
    this.showModel();
  }

  ask(path, body) {
    const address = `${path}?lang=${language()}`;
    return withKey(() => body ? postJson(address, body) : getJson(address));
  }

  firstRecipe() {
    const model = this.choices.models.find((each) => each.name === this.draft.model);
    return model && model.parameters > SMALL_MODEL ? LARGE_RECIPE : FIRST_RECIPE;
  }

  // ---- the page

  build() {
    this.model = el("select", { class: "field", id: "model", on: { change: () => this.chooseModel(this.model.value) } },
      this.choices.models.map((model) => el("option", { value: model.name, text: model.is_downloaded ? t("downloaded", model.name) : model.name })));
    this.modelNote = el("p", { class: "muted small" });
    this.files = SPLITS.map(([key]) => el("select", { class: "field", id: key, on: { change: (event) => this.chooseFile(key, event.target.value) } }));
    this.report = new DataReport();
    this.recipe = el("select", { class: "field", id: "recipe", on: { change: () => this.chooseRecipe(this.recipe.value) } },
      this.choices.recipes.map((recipe) => el("option", { value: recipe.name, text: recipe.name })));
    this.recipeNote = el("p", { class: "muted small" });
    this.form = new RecipeForm(this.fields, (set) => this.change(set));
    this.text = el("textarea", { class: "field yaml", id: "yaml", spellcheck: "false", autocapitalize: "off", rows: "26", on: { input: () => this.typed() } });
    this.problems = el("div", { role: "status" });
    this.card = el("select", { class: "field", id: "card", on: { change: () => this.plan() } },
      el("option", { value: "", text: t("thisMachine") }), CARDS.map((card) => el("option", { value: card, text: card.replace("GB", " GB") })));
    this.card.value = this.draft.card ?? "24GB";
    this.plans = el("div", { role: "status", class: "plan" });
    this.title = el("input", { class: "field", id: "run-name", value: "", autocomplete: "off", maxlength: "64", on: { input: () => this.showStart() } });
    this.start = el("button", { type: "button", class: "button primary", text: t("startRun"), on: { click: () => this.begin() } });
    this.startProblem = el("div", { role: "alert" });
    const checkButton = el("button", { type: "button", class: "button", text: t("checkData"), on: { click: () => this.check() } });
    this.element.replaceChildren(
      el("h1", { text: t("newRun") }),
      step(1, t("model"), el("div", { class: "row" }, labelled("model", t("model"), this.model)), this.modelNote),
      step(2, t("data"), el("div", { class: "row" }, ...SPLITS.map(([key, words], place) => labelled(key, t(words), this.files[place])), checkButton), this.report.element),
      step(3, t("recipe"), el("div", { class: "row" }, labelled("recipe", t("startFrom"), this.recipe)), this.recipeNote, this.problems,
        el("div", { class: "recipe" }, this.form.element, el("div", { class: "yaml-side" }, el("label", { for: "yaml", text: t("asYaml") }), this.text))),
      step(4, t("doesItFit"), el("div", { class: "row" }, labelled("card", t("gpuMemory"), this.card), el("button", { type: "button", class: "button", text: t("planMemory"), on: { click: () => this.plan() } })), this.plans),
      step(5, t("startRun"), el("div", { class: "row" }, labelled("run-name", t("runName"), this.title), this.start), this.startProblem));
  }

  showModel() {
    this.model.value = this.draft.model;
    const model = this.choices.models.find((each) => each.name === this.draft.model);
    this.modelNote.textContent = !model ? t("noModels", this.choices.folder) : model.problem ?? t("parameters", model.parameters.toLocaleString(locale()));
    this.modelNote.classList.toggle("wrong", !model || model.problem !== null);
  }

  show() {
    const { values } = this.view;
    const known = this.choices.data.map((file) => file.name);
    SPLITS.forEach(([key], place) => {
      const chosen = values[`data_config.${key}`] ?? "";
      const names = [...new Set([...known, chosen])].filter((name) => name !== "");
      this.files[place].replaceChildren(el("option", { value: "", text: place === 0 ? t("choose") : t("none") }), ...names.map((name) => el("option", { value: name, text: name })));
      this.files[place].value = chosen;
    });
    this.recipe.value = this.draft.from ?? "";
    this.recipeNote.textContent = this.choices.recipes.find((recipe) => recipe.name === this.draft.from)?.summary ?? "";
    this.form.show(values, this.view.problems);
    if (document.activeElement !== this.text || this.text.value === "") this.text.value = this.view.text;
    this.problems.replaceChildren(...[this.view.problems.length > 0 ? problemBox(this.view.problems) : null, this.view.notes.length > 0 ? noteList(this.view.notes) : null].filter(Boolean));
    if (this.title.value === "") this.title.value = this.freeName();
    this.showStart();
  }

  showStart() {
    this.start.disabled = this.view.problems.length > 0 || this.title.value.trim() === "" || !this.draft.model;
  }

  freeName() {
    const base = this.draft.from ?? "run";
    const taken = new Set(this.names());
    for (let number = 1; ; number++) if (!taken.has(`${base}-${number}`)) return `${base}-${number}`;
  }

  // ---- what the user does

  chooseModel(name) {
    this.draft.model = name;
    this.keep();
    this.showModel();
    this.stale();
  }

  // Files that belong together lie together; what was guessed can be changed.
  chooseFile(key, name) {
    const set = { [`data_config.${key}`]: name === "" ? null : name };
    if (key === "train_file" && name !== "") Object.assign(set, this.siblings(name));
    this.change(set).then(() => this.view.values["data_config.train_file"] && this.check());
  }

  siblings(train) {
    const folder = train.includes("/") ? train.slice(0, train.lastIndexOf("/") + 1) : "";
    const find = (...words) => this.choices.data.map((file) => file.name).find((name) => words.some((word) => name.startsWith(`${folder}${word}`) && !name.slice(folder.length).includes("/"))) ?? null;
    const evaluation = find("dev", "val", "eval");
    return { "data_config.val_file": evaluation, "data_config.test_file": find("test") ?? null, ...(evaluation === null ? { "training_args.eval_strategy": null } : {}) };
  }

  async chooseRecipe(name, isFirst = false) {
    const recipe = this.choices.recipes.find((each) => each.name === name);
    if (!recipe) return;
    const before = this.view?.values["data_config.train_file"];
    const takesDefault = !this.title || this.title.value === "" || this.title.value === this.freeName();
    Object.assign(this.draft, { from: name, recipe: recipe.text });
    if (takesDefault) this.title.value = "";
    const train = before ?? this.firstData();
    // Its own file names are those of some other folder.
    await this.change(train ? { "data_config.train_file": train, ...this.siblings(train) } : {});
    if (!isFirst) this.text.value = this.view.text;
  }

  firstData() {
    const files = this.choices.data.map((file) => file.name);
    return files.find((name) => /(^|\/)train[^/]*$/.test(name)) ?? files[0] ?? null;
  }

  // The form or a choice changes keys; the server answers with the text, and with what is wrong.
  async change(set) {
    this.stale();
    const view = await this.ask("/api/studio/recipe", { recipe: this.draft.recipe ?? "", set });
    if (this.closed) return;
    this.view = view;
    this.draft.recipe = view.text;
    this.keep();
    this.show();
  }

  typed() {
    this.draft.recipe = this.text.value;
    this.keep();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.change({}), 300);
  }

  // What was checked or planned was another recipe, or another model.
  stale() {
    this.report?.clear();
    this.plans?.replaceChildren();
  }

  async check() {
    await this.report.of(() => this.ask("/api/studio/check", { model: this.draft.model, recipe: this.draft.recipe }));
  }

  async plan() {
    this.draft.card = this.card.value;
    this.keep();
    this.plans.replaceChildren(el("p", { class: "muted", text: t("planning") }));
    try {
      const plan = await this.ask("/api/studio/plan", { model: this.draft.model, recipe: this.draft.recipe, gpu_memory: this.card.value || null });
      this.plans.replaceChildren(...planned(plan));
    } catch (error) {
      this.plans.replaceChildren(problemBox(error.message.split("\n")));
    }
  }

  async begin() {
    this.start.disabled = true;
    this.startProblem.replaceChildren();
    try {
      const { job } = await this.ask("/api/studio/jobs", { model: this.draft.model, recipe: this.draft.recipe, name: this.title.value.trim() });
      this.onStarted(job);
    } catch (error) {
      this.startProblem.replaceChildren(problemBox(error.message.split("\n")));
      this.showStart();
    }
  }
}

const step = (number, title, ...children) => el("section", { class: "step", "aria-labelledby": `step-${number}` },
  el("h2", { id: `step-${number}` }, el("span", { class: "number", "aria-hidden": "true", text: String(number) }), title), ...children);

const labelled = (id, words, field) => el("div", { class: "labelled" }, el("label", { for: id, text: words }), field);

const gib = (bytes) => `${(bytes / 2 ** 30).toLocaleString(locale(), { maximumFractionDigits: bytes < 2 ** 30 ? 2 : 1, minimumFractionDigits: 1 })} GiB`;

function planned(plan) {
  const rows = (words, list) => list.length === 0 ? [] : [el("tr", {}, el("th", { scope: "rowgroup", colspan: "2", text: words })), ...list.map((part) => el("tr", {}, el("th", { scope: "row", text: part.name }), el("td", { class: "figure", text: gib(part.bytes) })))];
  const more = [...plan.changes ?? [], ...plan.other_ways ?? []];
  return [
    el("p", { class: plan.fits ? "verdict good" : "verdict bad", text: plan.fits ? t("itFits", gib(plan.device_bytes), gib(plan.gpu_memory)) : t("itDoesNotFit", gib(plan.device_bytes), gib(plan.gpu_memory)) }),
    more.length > 0 ? el("div", {}, el("p", { text: t("whatHelps") }), noteList(more)) : null,
    el("details", {}, el("summary", { text: t("whatMemoryIsFor") }), el("div", { class: "table-scroll" }, el("table", {}, el("tbody", {}, rows(t("onEachGpu"), plan.device), rows(t("hostMemory"), plan.host))))),
  ].filter(Boolean);
}

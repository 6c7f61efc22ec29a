// The studio: a new run is put together, or a job is watched.

import { apiKey, getJson } from "./api.js";
import { el } from "./dom.js";
import { JobView } from "./job.js";
import { SetupView } from "./setup.js";
import { dressPage, hideSidebar, toast, withKey } from "./shell.js";
import { language, t } from "./text.js";

const LIST_EVERY_MS = 1500;
const content = document.getElementById("content");
let jobs = [];
let view = null;

takeKey();
dressPage({ "close-sidebar": "close", "open-sidebar": "menu", theme: "theme" });
document.getElementById("new-run").addEventListener("click", () => {
  hideSidebar();
  open("");
});
addEventListener("wordschange", () => {
  document.getElementById("job-list").key = null;
  show(view?.name ?? "");
});
addEventListener("hashchange", () => show(nameInAddress()));
show(nameInAddress());
follow();

// The address that the program prints has the key behind the #, which is never sent to a server. It does not stay there.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given === null) return;
  apiKey.set(given, false);
  history.replaceState(null, "", location.pathname);
}

function nameInAddress() {
  return decodeURIComponent(location.hash.slice(1));
}

async function follow() {
  await refresh();
  setTimeout(follow, LIST_EVERY_MS);
}

async function refresh() {
  try {
    ({ jobs } = await withKey(() => getJson(`/api/studio/jobs?lang=${language()}`)));
    showList();
    await view.follow(jobs);
  } catch (error) {
    toast(error.status ? error.message : t("unreachable"));
  }
}

function open(name) {
  history.replaceState(null, "", name === "" ? location.pathname : `#${encodeURIComponent(name)}`);
  show(name);
  showList();
  refresh();
}

function show(name) {
  view?.close();
  view = name === "" ? new SetupView({ onStarted: (job) => open(job.name), names: () => jobs.map((job) => job.name) }) : new JobView(name, { onChanged: refresh });
  content.replaceChildren(view.element);
  document.title = `${name || t("studio")} · GlmTune`;
}

function showList() {
  const list = document.getElementById("job-list");
  const key = JSON.stringify([jobs.map((job) => [job.name, job.state]), view.name]);
  if (list.key === key) return;
  list.key = key;
  const focused = document.activeElement?.closest?.("#job-list button")?.dataset.name;
  list.replaceChildren(...jobs.map((job) => el("li", { class: job.name === view.name ? "run shown" : "run" },
    el("button", { type: "button", class: "pick", "data-name": job.name, "aria-current": job.name === view.name ? "true" : null, on: { click: () => {
      hideSidebar();
      open(job.name);
    } } },
      el("span", { class: "name" }, el("span", { text: job.name, title: job.name })),
      el("span", { class: "facts" }, el("span", { class: `state ${job.state}`, text: t(job.state) }))))));
  if (jobs.length === 0) list.append(el("li", { class: "muted small empty-list", text: t("noRunsText") }));
  [...list.querySelectorAll("button")].find((button) => button.dataset.name === focused)?.focus();
}

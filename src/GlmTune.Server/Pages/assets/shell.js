// What both pages have around them: theme, language, key dialog, toast.

import { apiKey } from "./api.js";
import { el, icon } from "./dom.js";
import { applyLanguage, t, toggleLanguage } from "./text.js";
import { applyTheme, toggleTheme } from "./theme.js";

applyTheme();

/** Puts pictures into buttons, and words into the page. */
export function dressPage(icons) {
  for (const [id, name] of Object.entries(icons)) document.getElementById(id)?.append(icon(name));
  for (const slot of document.querySelectorAll("[data-icon]")) slot.append(icon(slot.dataset.icon));
  applyLanguage();
  document.getElementById("theme").addEventListener("click", toggleTheme);
  document.getElementById("language").addEventListener("click", toggleLanguage);

  const [sidebar, veil] = [document.getElementById("sidebar"), document.getElementById("veil")];
  document.getElementById("open-sidebar").addEventListener("click", () => {
    sidebar.classList.add("shown");
    veil.hidden = false;
    document.getElementById("close-sidebar").focus();
  });
  for (const id of ["close-sidebar", "veil"]) document.getElementById(id).addEventListener("click", hideSidebar);
}

/** Takes the list away where it lies over the page. */
export function hideSidebar() {
  const sidebar = document.getElementById("sidebar");
  if (!sidebar.classList.contains("shown")) return false;
  sidebar.classList.remove("shown");
  document.getElementById("veil").hidden = true;
  document.getElementById("open-sidebar").focus();
  return true;
}

/** Asks for the key until `attempt` works with one, or fails of something else. */
export async function withKey(attempt) {
  for (let refused = false; ; refused = true) {
    try {
      return await attempt();
    } catch (error) {
      if (error.status !== 401) throw error;
      await askForKey(refused && apiKey.get() !== "");
    }
  }
}

let asking = null;

/** Opens the dialog for the key; done when one was given. Whoever asks meanwhile waits for the same one. */
export function askForKey(refused) {
  asking ??= openKeyDialog(refused).finally(() => { asking = null; });
  return asking;
}

function openKeyDialog(refused) {
  const dialog = document.getElementById("key-dialog");
  const field = el("input", { class: "field", type: "password", id: "key-field", autocomplete: "off", required: true, "aria-describedby": "key-text" });
  const keep = el("input", { type: "checkbox", id: "key-keep" });
  return new Promise((resolve) => {
    const form = el("form", { on: { submit: (event) => {
      event.preventDefault();
      apiKey.set(field.value.trim(), keep.checked);
      dialog.close();
      resolve();
    } } },
      el("h2", { id: "key-title" }, el("label", { for: "key-field", text: t("keyTitle") })),
      el("p", { id: "key-text", class: refused ? "wrong" : "muted", text: refused ? t("keyWrong") : t("keyWanted") }),
      field,
      el("div", { class: "row" },
        el("label", { class: "small" }, keep, " ", t("keyKeep")),
        el("span", { class: "spacer" }),
        el("button", { class: "button primary", text: t("save") })));
    dialog.replaceChildren(form);
    // Without a key there is nothing behind the dialog.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
}

let toastTimer = 0;

/** Says what happened for a while, with a way back. */
export function toast(text, undo) {
  const node = document.getElementById("toast");
  const button = undo && el("button", { type: "button", text: t("undo"), on: { click: () => {
    node.hidden = true;
    undo();
  } } });
  node.replaceChildren(...[el("span", { text }), button].filter(Boolean));
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.hidden = true; }, 9000);
}

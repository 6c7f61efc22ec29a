// What can be done with a run: talk to its checkpoint, resume it, run it again.

import { getJson, postJson } from "./api.js";
import { el, iconButton } from "./dom.js";
import { withKey } from "./shell.js";
import { t } from "./text.js";

const CHAT_EVERY_MS = 500;
const PLAIN = /^[\p{L}\p{Nd}._\/=@:,+-]+$/u;

const quoted = (word) => PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** A command with a button that copies it. */
export function copyable(text) {
  const button = iconButton("copy", t("labelled", t("copy"), text), async () => {
    await navigator.clipboard.writeText(text);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  });
  return el("div", { class: "command" }, el("code", { text }), button);
}

/** The commands of a run: `[words, command]`. */
export function commandsOf(run, description, saved) {
  const list = Array.isArray(description.command) ? description.command.map(String) : [];
  const command = list.length > 0 ? `glmtune ${list.map(quoted).join(" ")}` : null;
  const output = description.settings?.["training_args.output_dir"] ?? "./output";
  return [
    saved ? ["chatCommand", `glmtune chat ${quoted(saved)}`] : null,
    command && saved && run.state !== "running" && run.state !== "finished" ? ["resumeCommand", `${command} yes`] : null,
    command ? ["repeatCommand", `${command} --set ${quoted(`training_args.output_dir=${output.replace(/\/$/, "")}-2`)}`] : null,
  ].filter(Boolean);
}

/**
 * Loads a checkpoint in the studio, and goes to the chat page once it answers.
 * @param body What to load: `{run, step}`.
 * @param status Where to say how it goes.
 * @param isOver Whether nobody waits for it any more.
 */
export async function chatWith(body, status, isOver = () => false) {
  status.replaceChildren(el("p", { class: "note-box", text: t("loadingModel") }));
  try {
    let chat = await withKey(() => postJson("/api/studio/chat", body));
    while (chat.state === "loading" && !isOver()) {
      await new Promise((resolve) => setTimeout(resolve, CHAT_EVERY_MS));
      chat = await withKey(() => getJson("/api/studio/chat"));
    }
    if (isOver()) return;
    if (chat.state === "ready") location.assign("/chat");
    else status.replaceChildren(el("pre", { class: "error-box", text: chat.lines.join("\n") }));
  } catch (error) {
    status.replaceChildren(el("p", { class: "error-box", text: error.message }));
  }
}

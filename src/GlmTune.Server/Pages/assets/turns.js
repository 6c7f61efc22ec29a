// Shows turns: what was asked, and the replies to it, one or two side by side.

import { el, icon, iconButton } from "./dom.js";
import { renderMarkdown } from "./markdown.js";
import { t } from "./text.js";

/** A turn on the page; `update(column)` shows how a reply stands, `edit()` opens the message for editing. */
export class TurnView {
  /**
   * @param turn What is shown.
   * @param columns How many replies are shown.
   * @param isLast Whether its replies can be made again.
   * @param actions `editUser(text)`, `editReply(column, text)`, `again(column)`, `toolResult(column, call, text)`,
   *   `runner(column, call)` (runs it on the server; null when it cannot), `isCalling(call)`, `isRunning(column)`.
   */
  constructor(turn, columns, isLast, actions) {
    Object.assign(this, { turn, isLast, actions });
    this.user = el("div", { class: "user" });
    this.showUser();
    const count = columns === 2 && turn.replies.length === 2 ? 2 : 1;
    this.replies = Array.from({ length: count }, (_, column) => new ReplyView(turn, column, isLast, actions));
    this.element = el("article", { class: "turn" }, this.user, el("div", { class: count === 2 ? "replies two" : "replies" }, ...this.replies.map((reply) => reply.element)));
  }

  showUser() {
    this.user.replaceChildren(
      el("h2", { class: "hidden", text: t("you") }),
      el("div", { class: "bubble", text: this.turn.user }),
      el("div", { class: "message-actions" },
        iconButton("pencil", t("editMessage"), () => this.edit()),
        copyButton(() => this.turn.user)));
  }

  edit() {
    const form = editForm(this.turn.user, t("saveSend"), (text) => this.actions.editUser(text), () => this.showUser());
    this.user.replaceChildren(form);
    form.querySelector("textarea").focus();
  }

  update(column) {
    (this.replies[column] ?? this.replies[0]).update();
  }
}

class ReplyView {
  constructor(turn, column, isLast, actions) {
    Object.assign(this, { turn, column, isLast, actions });
    this.body = el("div");
    this.foot = el("div");
    this.parts = [];
    this.element = el("div", { class: "reply", role: "group" });
    this.update();
  }

  get reply() {
    return this.turn.replies[this.column];
  }

  update() {
    const { reply } = this;
    if (!reply) return;
    const name = t("labelled", t("assistant"), reply.model);
    if (this.element.getAttribute("aria-label") !== name) {
      this.element.setAttribute("aria-label", name);
      this.element.replaceChildren(el("h2", { text: reply.model }), this.body, this.foot);
    }
    const isRunning = this.actions.isRunning(reply);
    reply.parts.forEach((part, index) => {
      if (part.role !== "assistant") return;
      if (!this.parts[index]) {
        this.parts[index] = { thoughts: thoughtsBox(), text: el("div", { class: "markdown" }), calls: [] };
        this.body.append(this.parts[index].thoughts, this.parts[index].text);
      }
      const shown = this.parts[index];
      shown.thoughts.hidden = !part.reasoning_content;
      shown.thoughts.lastChild.textContent = part.reasoning_content ?? "";
      renderMarkdown(shown.text, part.content ?? "");
      (part.tool_calls ?? []).forEach((call, place) => this.updateCall(shown, call, place, isRunning));
    });
    this.updateFoot(isRunning);
  }

  updateCall(shown, call, place, isRunning) {
    const result = this.reply.parts.find((part) => part.role === "tool" && part.tool_call_id === call.id);
    const key = JSON.stringify([call.function, result?.content, isRunning, this.actions.isCalling(call)]);
    if (shown.calls[place]?.key === key) return;
    const card = toolCard(call, result, isRunning ? null : (text) => this.actions.toolResult(this.column, call, text), this.actions.runner(this.column, call), this.actions.isCalling(call));
    if (shown.calls[place]) shown.calls[place].card.replaceWith(card);
    else this.body.append(card);
    shown.calls[place] = { key, card };
  }

  updateFoot(isRunning) {
    const { reply } = this;
    const text = replyText(reply);
    const key = JSON.stringify([isRunning, text !== "", reply.finish, reply.error, reply.isFull, reply.usage, this.isLast]);
    if (this.footKey === key) return;
    this.footKey = key;
    const nodes = [];
    if (isRunning && text === "" && !reply.parts.some((part) => part.tool_calls?.length)) nodes.push(el("span", { class: "waiting", "aria-hidden": "true" }, el("i"), el("i"), el("i")));
    if (!isRunning) {
      const again = this.isLast ? () => this.actions.again(this.column) : null;
      if (reply.error) nodes.push(el("div", { class: "remark error", role: "alert" }, el("span", { text: reply.error }), again && reply.isFull ? el("button", { type: "button", class: "button", text: t("dropOldest"), on: { click: () => this.actions.dropOldest(this.column) } }) : null, again && el("button", { type: "button", class: "button", text: t("retry"), on: { click: again } })));
      else if (reply.finish === "stopped") nodes.push(el("div", { class: "remark", text: t("stoppedShort") }));
      else if (reply.finish === "length") nodes.push(el("div", { class: "remark", text: t("cut") }));
      else if (reply.finish === null) nodes.push(el("div", { class: "remark", text: t("brokenOff") }));
      nodes.push(el("div", { class: "message-actions" },
        text === "" ? null : copyButton(() => replyText(this.reply)),
        text === "" ? null : iconButton("pencil", t("edit"), () => this.edit()),
        again && iconButton("refresh", t("regenerate"), again),
        el("span", { class: "figures", text: figures(reply) })));
    }
    this.foot.replaceChildren(...nodes);
  }

  edit() {
    const back = () => {
      [this.parts, this.footKey] = [[], null];
      this.body.replaceChildren();
      this.update();
    };
    const form = editForm(replyText(this.reply), t("save"), (text) => this.actions.editReply(this.column, text), back);
    this.body.replaceChildren(form);
    this.foot.replaceChildren();
    form.querySelector("textarea").focus();
  }
}

// What the model thought before it answered, folded.
const thoughtsBox = () => el("details", { class: "thoughts" }, el("summary", { text: t("thoughts") }), el("div", {}));

/** The words of a reply: those after the last tool. */
export const replyText = (reply) => reply.parts.findLast((part) => part.role === "assistant")?.content ?? "";

function figures(reply) {
  if (!reply.usage) return "";
  const tokens = reply.usage.completion_tokens;
  const words = [t("tokens", tokens)];
  const writing = reply.seconds - reply.firstSeconds;
  if (tokens > 1 && writing > 0.05) words.push(t("perSecond", ((tokens - 1) / writing).toFixed(1)));
  if (reply.firstSeconds) words.push(t("firstToken", reply.firstSeconds.toFixed(2)));
  return words.join(" · ");
}

function copyButton(text) {
  const button = iconButton("copy", t("copy"), async () => {
    await navigator.clipboard.writeText(text());
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  });
  return button;
}

function editForm(text, saveWords, save, back) {
  const field = el("textarea", { class: "field", value: text, "aria-label": t("editMessage"), rows: String(Math.min(14, text.split("\n").length + 1)) });
  const submit = (event) => {
    event.preventDefault();
    if (field.value.trim() !== "") save(field.value);
  };
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    if (event.key === "Escape") {
      event.stopPropagation();
      back();
    }
  });
  return el("form", { class: "edit", on: { submit } }, field, el("div", { class: "row" },
    el("button", { type: "button", class: "button", text: t("cancel"), on: { click: back } }),
    el("button", { class: "button primary", text: saveWords })));
}

// A call, and its result: shown, or asked for. What the server can run is run there once the user agrees.
function toolCard(call, result, give, run, isCalling) {
  const { name } = call.function;
  const card = el("div", { class: "tool" },
    el("header", {}, icon("tool"), el("span", {}, `${t("toolCall")} `, el("strong", { text: name }))),
    el("pre", { tabindex: "0", "aria-label": `${t("toolCall")} ${name}`, text: pretty(call.function.arguments) }));
  if (result) {
    card.append(el("header", {}, el("span", { class: "muted", text: t("toolResult", name) })), el("pre", { tabindex: "0", "aria-label": t("toolResult", name), text: result.content }));
  } else if (isCalling) {
    card.append(el("div", { class: "waiting in-card", role: "img", "aria-label": t("toolResult", name) }, el("i"), el("i"), el("i")));
  } else if (give) {
    const field = el("textarea", { class: "field", id: `result-${call.id}`, placeholder: t("resultPlaceholder") });
    card.append(el("form", { on: { submit: (event) => {
      event.preventDefault();
      give(field.value);
    } } },
      el("label", { for: field.id, text: t("toolResult", name) }), field,
      el("div", { class: "row" },
        el("button", { class: run ? "button" : "button primary", text: t("sendResult") }),
        run && el("button", { type: "button", class: "button primary", text: t("runTool"), on: { click: run } }))));
  }
  return card;
}

function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

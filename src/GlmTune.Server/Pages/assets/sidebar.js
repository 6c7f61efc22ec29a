// The list of conversations.

import { el, iconButton } from "./dom.js";
import { t } from "./text.js";

/**
 * Shows the list.
 * @param conversations As they are listed.
 * @param currentId The one that is open.
 * @param actions `open`, `rename(conversation, title)`, `exportRow`, `remove`.
 */
export function showConversations(conversations, currentId, actions) {
  const list = document.getElementById("conversation-list");
  list.replaceChildren(...conversations.map((conversation) => row(conversation, conversation.id === currentId, actions)));
}

function row(conversation, isCurrent, actions) {
  const title = conversation.title || t("untitled");
  const item = el("li", { class: isCurrent ? "conversation current" : "conversation" },
    el("button", { type: "button", class: "pick", text: title, title, "aria-current": isCurrent ? "true" : null, on: { click: () => actions.open(conversation.id) } }),
    el("span", { class: "actions" },
      iconButton("pencil", t("labelled", t("rename"), title), () => rename(item, conversation, actions)),
      iconButton("download", t("labelled", t("exportRow"), title), () => actions.exportRow(conversation)),
      iconButton("trash", t("labelled", t("remove"), title), () => actions.remove(conversation))));
  return item;
}

function rename(item, conversation, actions) {
  let isDone = false;
  const finish = (keep) => {
    if (isDone) return;
    isDone = true;
    actions.rename(conversation, keep ? field.value.trim() || conversation.title : conversation.title);
  };
  const field = el("input", { class: "field", value: conversation.title, "aria-label": t("rename"), maxlength: "200", on: {
    keydown: (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") {
        event.stopPropagation();
        finish(false);
      }
    },
    blur: () => finish(true),
  } });
  item.replaceChildren(field);
  field.focus();
  field.select();
}

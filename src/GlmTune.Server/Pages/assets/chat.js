// The chat page: what is open, what is running, and what each control does.

import { listModels, listServerTools, runServerTool, streamChat } from "./api.js";
import { deleteConversation, isInMemory, listConversations, messagesOf, newConversation, partsOf, saveConversation, toolsOf, toRows } from "./conversations.js";
import { download, el, icon } from "./dom.js";
import { requestFields, showSettings } from "./settings.js";
import { dressPage, hideSidebar, toast, withKey } from "./shell.js";
import { showConversations } from "./sidebar.js";
import { t } from "./text.js";
import { TurnView } from "./turns.js";

const DEFAULTS = "glmtune.defaults";
const MOST_CALLS = 10;        // that run in a row without a question
const SAVE_EVERY_MS = 1500;   // so that a closed tab loses little of an answer
const byId = (id) => document.getElementById(id);
const [message, messages, scroll, composer, sendButton] = ["message", "messages", "scroll", "composer", "send"].map(byId);

let models = [];
let serverTools = [];
let conversations = [];
let current = null;
let views = [];
const running = new Map();   // reply: AbortController
const calling = new Set();   // calls that run on the server

dressPage({ "close-sidebar": "close", "open-sidebar": "menu", "shortcuts-button": "keyboard", theme: "theme", compare: "columns", "open-settings": "sliders" });
document.querySelector("#new-chat .icon-slot").append(icon("plus"));
const started = start();   // Until then there is no conversation; what the user does meanwhile waits for it.

async function start() {
  conversations = await listConversations();
  try {
    models = await withKey(listModels);
    serverTools = await listServerTools();
  } catch (error) {
    toast(error.status ? error.message : t("unreachable"));
  }
  openConversation(location.hash.slice(1), { focus: true });
}

// ---- conversations

function defaults() {
  try {
    return JSON.parse(localStorage.getItem(DEFAULTS)) ?? {};
  } catch {
    return {};
  }
}

function openConversation(id, { focus = false } = {}) {
  stop();
  const { model, settings } = defaults();
  current = conversations.find((each) => each.id === id) ?? newConversation(model ?? models[0]?.id, settings);
  // A model that is no longer served cannot answer; the first one does.
  current.models = current.models.map((name) => models.length === 0 || models.some((each) => each.id === name) ? name : models[0].id);
  history.replaceState(null, "", current.turns.length > 0 ? `#${current.id}` : location.pathname);
  hideSidebar();
  showAll();
  scroll.scrollTop = scroll.scrollHeight;
  if (focus) message.focus();
}

function keep() {
  if (current.turns.length === 0) return;
  current.updated = Date.now();
  if (!conversations.includes(current)) {
    conversations.unshift(current);
    history.replaceState(null, "", `#${current.id}`);
  }
  conversations.sort((a, b) => b.updated - a.updated);
  localStorage.setItem(DEFAULTS, JSON.stringify({ model: current.models[0], settings: current.settings }));
  saveConversation(current);
  showList();
}

const listActions = {
  open: (id) => openConversation(id, { focus: true }),
  rename(conversation, title) {
    conversation.title = title;
    saveConversation(conversation);
    showList();
    showTitle();
  },
  exportRow: (conversation) => download(`${(conversation.title || conversation.id).replace(/[^\p{L}\p{N} _-]+/gu, "").slice(0, 60) || "conversation"}.jsonl`, toRows(conversation, serverTools), "application/x-ndjson"),
  remove(conversation) {
    conversations = conversations.filter((each) => each !== conversation);
    deleteConversation(conversation.id);
    if (conversation === current) openConversation("");
    else showList();
    toast(t("removed"), () => {
      conversations.unshift(conversation);
      saveConversation(conversation);
      openConversation(conversation.id);
    });
  },
};

// ---- asking

function ask(text) {
  const turn = { user: text, replies: [] };
  current.turns.push(turn);
  current.title ||= text.trim().split("\n")[0].slice(0, 60);
  for (const column of columns()) begin(turn, column);
  showAll();
  scroll.scrollTop = scroll.scrollHeight;
  for (const column of columns()) answer(turn, column);
}

const columns = () => (current.compare ? [0, 1] : [0]);

// The reply appears before anything is sent, so that both columns stand at once.
function begin(turn, column) {
  turn.replies[column] = { model: current.models[column], parts: [], finish: null };
}

async function answer(turn, column) {
  const conversation = current;
  const reply = turn.replies[column];
  const control = new AbortController();
  running.set(reply, control);
  showRunning();
  const index = conversation.turns.indexOf(turn);
  const part = { role: "assistant", content: "" };
  const began = performance.now();
  let [first, saved] = [null, began];
  try {
    const tools = toolsOf(conversation.settings, serverTools);
    const request = {
      model: reply.model,
      messages: [...messagesOf(conversation, column, index), { role: "user", content: turn.user }, ...partsOf(reply)],
      ...requestFields(conversation.settings),
      ...(tools.length > 0 ? { tools } : {}),
    };
    reply.parts.push(part);
    update(turn, column);
    keep();
    const end = await withKey(() => streamChat(request, (delta) => {
      if (delta.content || delta.tool_calls || delta.reasoning_content) first ??= performance.now();
      if (delta.reasoning_content) part.reasoning_content = (part.reasoning_content ?? "") + delta.reasoning_content;
      part.content += delta.content ?? "";
      for (const piece of delta.tool_calls ?? []) addCall(part, piece);
      update(turn, column);
      if (performance.now() - saved > SAVE_EVERY_MS) {
        saved = performance.now();
        saveConversation(conversation);
      }
    }, control.signal));
    reply.finish = end.finish;
    reply.usage = end.usage;
    delete reply.error;
    delete reply.isFull;
  } catch (error) {
    if (control.signal.aborted) reply.finish = "stopped";
    else [reply.isFull, reply.error] = [error.code === "context_length_exceeded" && index > 0, error.status ? error.message : error instanceof TypeError ? t("unreachable") : error.message];
  } finally {
    reply.seconds = (performance.now() - began) / 1000;
    if (first !== null) reply.firstSeconds = (first - began) / 1000;
    running.delete(reply);
    if (conversations.includes(conversation)) saveConversation(conversation);
    if (conversation === current) {
      update(turn, column);
      showRunning();
      if (reply.finish === "tool_calls") runAllowed(turn, column);
    }
  }
}

// A tool that the user described may have the name of one of the server's: only those whose box is ticked are the server's.
const serverToolOf = (conversation, call) =>
  conversation.settings.serverTools?.includes(call.function.name) ? serverTools.find((tool) => tool.name === call.function.name) : undefined;

// What was allowed when the server was started runs at once; all else waits for the user.
function runAllowed(turn, column) {
  const reply = turn.replies[column];
  const open = openCalls(reply).filter((call) => serverToolOf(current, call)?.allowed);
  if (open.length > 0 && reply.parts.filter((part) => part.role === "tool").length >= MOST_CALLS) toast(t("tooManyCalls"));
  else for (const call of open) runCall(turn, column, call);
}

const openCalls = (reply) => reply.parts.flatMap((part) => part.tool_calls ?? []).filter((call) => !reply.parts.some((part) => part.tool_call_id === call.id));

async function runCall(turn, column, call) {
  const conversation = current;
  if (calling.has(call)) return;
  calling.add(call);
  update(turn, column);
  let result;
  try {
    result = await runServerTool(call.function.name, JSON.parse(call.function.arguments || "{}"));
  } catch (error) {
    result = `Error: ${error.message}`;
  } finally {
    calling.delete(call);
  }
  // Whoever went to another conversation meanwhile finds the question again there.
  if (conversation === current && conversation.turns.includes(turn)) giveResult(turn, column, call, result);
}

function giveResult(turn, column, call, text) {
  const reply = turn.replies[column];
  if (!openCalls(reply).includes(call)) return;
  reply.parts.push({ role: "tool", tool_call_id: call.id, content: text });
  if (openCalls(reply).length === 0) answer(turn, column);
  else update(turn, column);
}

function addCall(part, piece) {
  part.tool_calls ??= [];
  const call = (part.tool_calls[piece.index ?? 0] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
  call.id ||= piece.id ?? "";
  call.function.name ||= piece.function?.name ?? "";
  call.function.arguments += piece.function?.arguments ?? "";
}

function stop() {
  for (const control of running.values()) control.abort();
  return running.size > 0;
}

function answerAgain(turn, column) {
  const before = structuredClone(current);
  begin(turn, column);
  showAll();
  answer(turn, column);
  return before;
}

// The older half of what was said makes room, and comes back if that was not meant.
function dropOldest(turn, column) {
  const before = structuredClone(current);
  current.turns.splice(0, Math.ceil(current.turns.indexOf(turn) / 2));
  begin(turn, column);
  showAll();
  keep();
  answer(turn, column);
  offerBack(t("turnsDropped"), before);
}

// Later turns go, and come back if that was not meant.
function cutAfter(index, change) {
  const before = structuredClone(current);
  const isCut = current.turns.length > index + 1;
  current.turns.length = index + 1;
  change(current.turns[index]);
  if (isCut) offerBack(t("turnsRemoved"), before);
}

function offerBack(words, before) {
  toast(words, () => {
    stop();
    conversations = conversations.map((each) => each.id === before.id ? before : each);
    saveConversation(before);
    openConversation(before.id);
  });
}

function turnActions(turn, index) {
  return {
    isRunning: (reply) => running.has(reply),
    editUser(text) {
      stop();
      cutAfter(index, () => {
        turn.user = text;
        for (const column of columns()) begin(turn, column);
        turn.replies.length = columns().length;
      });
      showAll();
      for (const column of columns()) answer(turn, column);
    },
    editReply(column, text) {
      cutAfter(index, () => { turn.replies[column].parts.findLast((part) => part.role === "assistant").content = text; });
      keep();
      showAll();
    },
    again: (column) => answerAgain(turn, column),
    dropOldest: (column) => dropOldest(turn, column),
    toolResult: (column, call, text) => giveResult(turn, column, call, text),
    runner: (column, call) => serverToolOf(current, call) ? () => runCall(turn, column, call) : null,
    isCalling: (call) => calling.has(call),
  };
}

// ---- showing

const waiting = new Set();

// Pieces come faster than a screen shows them.
function update(turn, column) {
  const view = views.find((each) => each.turn === turn);
  if (!view) return;
  if (waiting.size === 0) requestAnimationFrame(() => {
    const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 90;
    for (const show of waiting) show.view.update(show.column);
    waiting.clear();
    if (isAtEnd) scroll.scrollTop = scroll.scrollHeight;
  });
  if (![...waiting].some((show) => show.view === view && show.column === column)) waiting.add({ view, column });
}

function showAll() {
  if (!current) return;
  // What was said before is not read out again.
  messages.setAttribute("aria-live", "off");
  document.body.classList.toggle("comparing", current.compare);
  views = current.turns.map((turn, index) => new TurnView(turn, columns().length, index === current.turns.length - 1, turnActions(turn, index)));
  messages.replaceChildren(...(views.length > 0 ? views.map((view) => view.element) : [el("div", { class: "empty" }, el("h2", { text: t("emptyTitle") }), el("p", { text: t("emptyText") }))]));
  setTimeout(() => messages.setAttribute("aria-live", "polite"), 100);
  showTitle();
  showModels();
  showList();
  showPanel();
  showRunning();
}

function showTitle() {
  byId("title").textContent = current.title || t("untitled");
  document.title = current.title ? `${current.title} · GlmTune` : "GlmTune";
}

function showList() {
  showConversations(conversations, current.id, listActions);
  byId("storage-note").textContent = isInMemory() ? t("inMemory") : t("noConversations");
}

function showModels() {
  byId("compare").setAttribute("aria-pressed", String(current.compare));
  byId("models").replaceChildren(...columns().map((column) => {
    const words = current.compare ? t(column === 0 ? "firstModel" : "secondModel") : t("model");
    return el("label", {}, el("span", { class: "hidden", text: words }),
      el("select", { class: "field", "aria-label": words, on: { change: (event) => {
        current.models[column] = event.target.value;
        keep();
        showPanel();
      } } }, ...models.map((model) => el("option", { value: model.id, text: model.id, selected: model.id === current.models[column] }))));
  }));
}

function showPanel() {
  if (!current || byId("settings").hidden) return;
  const model = models.find((each) => each.id === current.models[0]);
  showSettings(current.settings, model, serverTools, keep, () => togglePanel(false));
}

function togglePanel(isOpen) {
  byId("settings").hidden = !isOpen;
  byId("open-settings").setAttribute("aria-expanded", String(isOpen));
  if (isOpen) showPanel();
  else byId("open-settings").focus();
}

function showRunning() {
  if (!current) return;
  const isRunning = running.size > 0;
  const label = t(isRunning ? "stop" : "send");
  if (sendButton.classList.contains("stop") !== isRunning || !sendButton.firstChild) sendButton.replaceChildren(icon(isRunning ? "stop" : "send"));
  sendButton.classList.toggle("stop", isRunning);
  sendButton.setAttribute("aria-label", label);
  sendButton.title = label;
  sendButton.disabled = !isRunning && message.value.trim() === "";
  if (messages.getAttribute("aria-busy") !== String(isRunning)) byId("status").textContent = isRunning ? t("writing") : current.turns.length > 0 ? t("answered") : "";
  messages.setAttribute("aria-busy", String(isRunning));
}

function showShortcuts() {
  const dialog = byId("shortcuts");
  const keys = [
    [["Enter"], "shortcutSend"], [["Shift", "Enter"], "shortcutLine"], [["Esc"], "shortcutStop"], [["Alt", "N"], "shortcutNew"], [["/"], "shortcutFocus"],
    [["↑"], "shortcutEdit"], [["Alt", "↑ ↓"], "shortcutBetween"], [["?"], "shortcutHelp"],
  ];
  dialog.replaceChildren(
    el("h2", { id: "shortcuts-title", text: t("shortcuts") }),
    el("dl", { class: "shortcut-list" }, ...keys.flatMap(([names, words]) => [
      el("dt", {}, ...names.flatMap((name, index) => [index > 0 ? " + " : null, el("kbd", { text: name })])),
      el("dd", { text: t(words) })])),
    el("div", { class: "row" }, el("button", { type: "button", class: "button", text: t("close"), on: { click: () => dialog.close() } })));
  dialog.showModal();
}

// ---- controls

function submit() {
  const text = message.value;
  if (text.trim() === "" || running.size > 0 || !current.models[0]) return;
  message.value = "";
  fitMessage();
  ask(text);
}

function fitMessage() {
  message.style.height = "auto";
  message.style.height = `${message.scrollHeight}px`;
  showRunning();
}

composer.addEventListener("submit", async (event) => {
  event.preventDefault();
  await started;
  if (!stop()) submit();
});
message.addEventListener("input", fitMessage);
message.addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses a word.
  if (event.isComposing || event.keyCode === 229) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    started.then(submit);
  } else if (event.key === "ArrowUp" && message.value === "" && !event.altKey && views.length > 0 && running.size === 0) {
    event.preventDefault();
    views.at(-1).edit();
  }
});
// The address's fragment names the conversation, so a link to a place in the page must not change it.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  message.focus();
});
byId("new-chat").addEventListener("click", () => openConversation("", { focus: true }));
byId("open-settings").addEventListener("click", () => togglePanel(byId("settings").hidden));
byId("shortcuts-button").addEventListener("click", showShortcuts);
byId("compare").addEventListener("click", async () => {
  await started;
  stop();
  current.compare = !current.compare;
  current.models[1] ??= models.find((model) => model.id !== current.models[0])?.id ?? current.models[0];
  keep();
  showAll();
});

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    if (!stop() && !hideSidebar() && !byId("settings").hidden && !document.querySelector("dialog[open]")) togglePanel(false);
  } else if (event.altKey && event.code === "KeyN") {
    event.preventDefault();
    openConversation("", { focus: true });
  } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    const place = conversations.indexOf(current);
    const next = conversations[event.key === "ArrowDown" ? place + 1 : place - 1];
    if (next) openConversation(next.id, { focus: true });
  } else if (!isTyping && event.key === "/") {
    event.preventDefault();
    message.focus();
  } else if (!isTyping && event.key === "?") {
    showShortcuts();
  }
});
addEventListener("hashchange", () => {
  if (current && location.hash.slice(1) !== current.id) openConversation(location.hash.slice(1));
});
addEventListener("wordschange", showAll);

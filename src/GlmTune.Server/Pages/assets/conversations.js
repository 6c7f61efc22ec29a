// Conversations, kept in this browser (IndexedDB); in memory alone where the browser keeps nothing.
//
// A conversation: {id, title, created, updated, models: [id, id?], compare, settings: {system, temperature, topP, maxTokens,
// repetitionPenalty, seed, tools}, turns: [{user, replies: [reply, reply?]}]}. A reply: {model, parts: [{role, content, tool_calls?,
// tool_call_id?}], finish, error?, usage?, seconds?, firstSeconds?}. The second reply is that of the second model, when two are compared.

import { t } from "./text.js";

const STORE = "conversations";
let memory = null;
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("glmtune", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function run(mode, act, inMemory) {
  if (memory !== null) return inMemory(memory);
  try {
    const store = (await open()).transaction(STORE, mode).objectStore(STORE);
    return await new Promise((resolve, reject) => {
      const request = act(store);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } catch {
    memory = new Map();
    return inMemory(memory);
  }
}

/** Whether they are gone when the page is closed. */
export const isInMemory = () => memory !== null;

/** All of them, the last used one first. */
export async function listConversations() {
  const all = await run("readonly", (store) => store.getAll(), (map) => [...map.values()]);
  return all.sort((a, b) => b.updated - a.updated);
}

/** Keeps one as it is now. */
export const saveConversation = (conversation) =>
  run("readwrite", (store) => store.put(structuredClone(conversation)), (map) => map.set(conversation.id, structuredClone(conversation)));

/** Forgets one. */
export const deleteConversation = (id) => run("readwrite", (store) => store.delete(id), (map) => map.delete(id));

/** A new one with nothing in it. */
export function newConversation(model, settings = {}) {
  const now = Date.now();
  // crypto.randomUUID is missing where the page comes over plain HTTP from another machine.
  const id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id, title: "", created: now, updated: now, models: [model], compare: false, settings: { system: "", tools: "", ...settings }, turns: [] };
}

/** The reply of a column in a turn; a turn from before two were compared has one for both. */
export const replyOf = (turn, column) => turn.replies[column] ?? turn.replies[0];

/** The messages of a column, as the protocol and data files have them, of the first `count` turns. */
export function messagesOf(conversation, column, count = conversation.turns.length) {
  const system = conversation.settings.system.trim();
  const messages = system === "" ? [] : [{ role: "system", content: system }];
  for (const turn of conversation.turns.slice(0, count)) {
    messages.push({ role: "user", content: turn.user }, ...partsOf(replyOf(turn, column)));
  }
  return messages;
}

/** The messages of a reply that were written: an empty one is none. */
export function partsOf(reply) {
  return (reply?.parts ?? [])
    .filter((part) => part.role === "tool" || part.content || part.tool_calls?.length)
    .map((part) => part.tool_calls?.length ? { ...part, content: part.content || null } : { ...part });
}

/** The tools of the settings in the protocol's shape, the chosen ones of the server first; throws what is wrong with them. */
export function toolsOf(settings, serverTools = []) {
  const chosen = serverTools.filter((tool) => settings.serverTools?.includes(tool.name))
    .map(({ name, description, parameters }) => ({ type: "function", function: { name, description, parameters } }));
  return [...chosen, ...typedTools(settings)];
}

function typedTools(settings) {
  if (!settings.tools?.trim()) return [];
  const parsed = JSON.parse(settings.tools);
  const list = Array.isArray(parsed) ? parsed : [parsed];
  return list.map((tool) => {
    const definition = tool?.function ?? tool;
    if (typeof definition?.name !== "string" || definition.name === "") throw new Error(t("toolWithoutName"));
    return { type: "function", function: definition };
  });
}

/** A conversation as rows of a training file: one for each column. */
export function toRows(conversation, serverTools = []) {
  const rows = (conversation.compare ? [0, 1] : [0]).map((column) => ({ messages: messagesOf(conversation, column), ...toolRow(conversation, serverTools) }));
  return rows.map((row) => JSON.stringify(row) + "\n").join("");
}

function toolRow(conversation, serverTools) {
  try {
    const tools = toolsOf(conversation.settings, serverTools);
    return tools.length > 0 ? { tools } : {};
  } catch {
    return {};
  }
}

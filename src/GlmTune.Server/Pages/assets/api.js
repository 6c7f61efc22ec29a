// The server's protocol: OpenAI's, with a key where the server wants one.

const KEY = "glmtune.key";

/** What the server answered instead of what was asked for. */
export class ServerError extends Error {
  constructor(status, message, code = null) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** The key: for this tab, or kept on this device. */
export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "",
  set(key, keep) {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
    if (key !== "") (keep ? localStorage : sessionStorage).setItem(KEY, key);
  },
};

async function send(address, init = {}) {
  const key = apiKey.get();
  const headers = { ...(key === "" ? {} : { Authorization: `Bearer ${key}` }), ...(init.body ? { "Content-Type": "application/json" } : {}) };
  const response = await fetch(address, { ...init, headers, cache: "no-store" });
  if (!response.ok) throw await serverError(response);
  return response;
}

async function serverError(response) {
  const text = await response.text();
  try {
    const { message, code } = JSON.parse(text).error;
    return new ServerError(response.status, message ?? text, code);
  } catch {
    return new ServerError(response.status, text || `${response.status} ${response.statusText}`);
  }
}

/** Reads JSON from an address of this server. */
export const getJson = async (address, signal) => (await send(address, { signal })).json();

/** Sends JSON, and reads JSON. */
export const postJson = async (address, body, signal) => (await send(address, { method: "POST", body: JSON.stringify(body), signal })).json();

/** The models that can be asked, the tuned ones first: `[{id, max_model_len, parent, defaults}]`. */
export const listModels = async () => {
  const models = (await getJson("/v1/models")).data;
  return [...models.filter((model) => model.parent), ...models.filter((model) => !model.parent)];
};

/** The functions that the page may run on the server: `[{name, description, parameters, allowed}]`. */
export const listServerTools = async () => (await getJson("/api/tools")).tools;

/** Runs one of them; gives its result as text. */
export const runServerTool = async (name, args, signal) => (await postJson("/api/tools/call", { name, arguments: args }, signal)).result;

/**
 * Streams an answer, and calls back with each piece.
 * @param request The body of /v1/chat/completions, without `stream`.
 * @param onDelta Gets each `delta`; text in `content`, pieces of calls in `tool_calls`.
 * @returns `{finish, usage}`; a null `finish` says that the stream broke off.
 */
export async function streamChat(request, onDelta, signal) {
  const body = JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } });
  const response = await send("/v1/chat/completions", { method: "POST", body, signal });
  let [finish, usage] = [null, null];
  for await (const data of serverSentEvents(response.body)) {
    if (data === "[DONE]") break;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(500, chunk.error.message ?? String(chunk.error));
    usage = chunk.usage ?? usage;
    const choice = chunk.choices?.[0];
    if (!choice) continue;
    if (choice.delta) onDelta(choice.delta);
    finish = choice.finish_reason ?? finish;
  }
  return { finish, usage };
}

/** The data of each event of a stream. */
export async function* serverSentEvents(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pending += value;
      // A line end of two characters may arrive in two pieces.
      const lines = pending.split(/\r\n|\n|\r(?!$)/);
      pending = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield data.join("\n");
          data = [];
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

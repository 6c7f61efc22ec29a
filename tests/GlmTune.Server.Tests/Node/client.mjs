// Drives the server at argv[2] with the openai package of the folder argv[3]; prints what it saw as JSON.
import { createRequire } from 'node:module';

const OpenAI = createRequire(`${process.argv[3]}/`)('openai');
const client = new OpenAI({ baseURL: `${process.argv[2]}v1`, apiKey: 'any', maxRetries: 0 });
const model = 'scripted';
const tools = [{
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  },
}];
const seen = {};

seen.models = (await client.models.list()).data.map(each => each.id);

const whole = await client.chat.completions.create({ model, messages: [{ role: 'user', content: 'Hello?' }] });
seen.whole = [whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens === whole.usage.prompt_tokens + whole.usage.completion_tokens];

const stream = client.chat.completions.stream({ model, messages: [{ role: 'user', content: 'Hello?' }], stream_options: { include_usage: true } });
let pieces = 0;
stream.on('content', () => pieces++);
const last = await stream.finalChatCompletion();
seen.streamed = [last.choices[0].message.content, last.choices[0].finish_reason, last.usage.completion_tokens, pieces > 1];

const messages = [{ role: 'user', content: 'Weather?' }];
const asked = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
const call = asked.choices[0].message.tool_calls[0];
seen.call = [asked.choices[0].finish_reason, call.type, call.function.name, call.function.arguments];
messages.push(asked.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'sun' });
seen.answered = (await client.chat.completions.create({ model, messages, tools })).choices[0].message.content;

const structured = await client.chat.completions.parse({
  model,
  messages: [{ role: 'user', content: 'JSON?' }],
  response_format: {
    type: 'json_schema',
    json_schema: { name: 'it', strict: true, schema: { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'], additionalProperties: false } },
  },
});
seen.structured = JSON.parse(structured.choices[0].message.content);

seen.completion = (await client.completions.create({ model, prompt: [257, 258, 263, 10, 72, 264], max_tokens: 4 })).choices[0].text;

try {
  await client.chat.completions.create({ model: 'gpt-4', messages });
} catch (error) {
  seen.error = [error.constructor.name, error.status, error.code, error.param];
}

console.log(JSON.stringify(seen));

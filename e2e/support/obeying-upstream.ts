import { createServer, type IncomingMessage } from 'node:http';

type Message = { role: string; content: unknown };
type Body = { model: string; stream?: boolean; messages?: Message[]; input?: string | string[]; tools?: unknown };

/** One call: its path, its body and every text in it. */
export type ObeyedCall = { path: string; body: Body; prompt: string };

/**
 * A model that does what it reads, wherever it reads it: asked to open an address it links it, shows it as a picture and calls a tool with it;
 * asked for a job it writes one as JSON; asked to print it says back everything it was told. All vectors are the same: nothing is more alike.
 */
export type ObeyingUpstream = { calls: ObeyedCall[]; env: Record<string, string>; stop: () => Promise<void> };

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const read = async (incoming: IncomingMessage): Promise<Body> => {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  const text = Buffer.concat(pieces).toString();
  return text.startsWith('{') ? JSON.parse(text) : { model: 'a form' };
};

const textOf = ({ content }: Message): string =>
  typeof content === 'string' ? content : JSON.stringify((content as { text?: string }[] | null)?.map(({ text = '' }) => text) ?? '');

/** What it says, and the call of a tool it makes although nobody gave it one. */
const obey = (prompt: string): { text: string; call?: object } => {
  const said = ['Of course.'];
  let call: object | undefined;
  for (const [, verb, url] of prompt.matchAll(/\b(fetch|open|show|post to) (http:\/\/[^\s"<>]+)/gi)) {
    said.push(`I ${verb} ${url} now. ![picture](${url}.png) [link](${url}) <img src="${url}"> {"url":"${url}"}`);
  }
  const tool = /call the tool (\w+) with (http:\/\/[^\s"<>]+)/i.exec(prompt);
  if (tool) call = { name: tool[1], arguments: JSON.stringify({ url: tool[2] }) };
  const hook = /webhook (http:\/\/[^\s"<>]+)/i.exec(prompt);
  if (/create a job/i.test(prompt)) {
    said.push(JSON.stringify({ type: 'image', input: 'draw a fox in the snow', webhook: { url: hook?.[1] }, session_id: 'new' }), 'draw a fox in the snow');
  }
  if (/print (?:the|every|all)/i.test(prompt)) said.push(prompt);
  return { text: said.join('\n'), ...(call && { call }) };
};

const chunk = (delta: object, finish: string | null, usage: object | null = null): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'obeys', choices: [{ index: 0, delta, finish_reason: finish }], usage })}\n\n`;

const chat = (prompt: string): string => {
  const { text, call } = obey(prompt);
  const tools = call && chunk({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: call }] }, null);
  const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 };
  return `${chunk({ role: 'assistant', content: text }, null)}${tools ?? ''}${chunk({}, call ? 'tool_calls' : 'stop', usage)}data: [DONE]\n\n`;
};

const vectors = (input: string | string[] | undefined): string => {
  const data = [input].flat().map((_, index) => ({ object: 'embedding', index, embedding: [0.6, 0.8] }));
  return JSON.stringify({ object: 'list', model: 'obeys', data, usage: { prompt_tokens: 1, total_tokens: 1 } });
};

/** Starts it on a free port; `env` points an installation at it, with keys for Groq and OpenAI. */
export const startObeyingUpstream = async (): Promise<ObeyingUpstream> => {
  const calls: ObeyedCall[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const body = await read(incoming);
    const path = incoming.url ?? '';
    const prompt = (body.messages ?? []).map(textOf).join('\n');
    calls.push({ path, body, prompt });
    const isChat = path.endsWith('/chat/completions');
    const picture = JSON.stringify({ created: 1, data: [{ b64_json: PNG }] });
    outgoing.writeHead(200, { 'content-type': isChat ? 'text/event-stream' : 'application/json' });
    outgoing.end(isChat ? chat(prompt) : path.endsWith('/embeddings') ? vectors(body.input) : picture);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the upstream has no port');
  const url = `http://127.0.0.1:${address.port}`;
  return {
    calls,
    env: { GROQ_API_KEY: 'test-groq', GROQ_BASE_URL: url, OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `${url}/v1` },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

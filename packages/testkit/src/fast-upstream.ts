import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One call as it arrived: `key` is its prompt, its last message or its input; `count` is 1 for the first call with that key. */
type UpstreamCall = { path: string; key: string; count: number };

/** What to do with a call: answer it, answer with an error status, or cut the connection without a word. */
type Behaviour = 'answer' | 'hangUp' | { status: number; headers?: Record<string, string> };

export type FastUpstreamOptions = {
  /** Before each answer. */
  delayMs?: number;
  /** Default: answers everything. It may take its time. */
  behave?: (call: UpstreamCall) => Behaviour | Promise<Behaviour>;
};

/** A provider on 127.0.0.1 that is as fast as can be: OpenAI's chat completions, pictures and embeddings, and Groq's chat. */
export type FastUpstream = {
  url: string;
  /** Calls by their key. */
  calls: Map<string, number>;
  /** Answers given, by the key of their call. */
  answers: Map<string, number>;
  /** Calls under way now, and the most there ever were. */
  underWay: () => { now: number; most: number };
  /** Settings that point an installation at it, with keys for Groq and OpenAI. */
  env: Record<string, string>;
  /** Cuts open connections and stops listening. */
  stop: () => Promise<void>;
};

/** One pixel. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const picture = (n: number): string =>
  JSON.stringify({
    created: 1,
    data: Array.from({ length: n }, () => ({ b64_json: PNG })),
    usage: { input_tokens: 10, input_tokens_details: { text_tokens: 10, image_tokens: 0 }, output_tokens: 100 * n, total_tokens: 10 + 100 * n },
  });

const chunk = (delta: object, finish: string | null, usage: object | null): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'fast', choices: [{ index: 0, delta, finish_reason: finish }], usage })}\n\n`;

const chat = (text: string): string =>
  `${chunk({ role: 'assistant', content: text }, null, null)}${chunk({}, 'stop', { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 })}data: [DONE]\n\n`;

const embedding = (count: number): string =>
  JSON.stringify({
    object: 'list',
    model: 'fast',
    data: Array.from({ length: count }, (_, index) => ({ object: 'embedding', index, embedding: [0.6, 0.8] })),
    usage: { prompt_tokens: count, total_tokens: count },
  });

type Body = { prompt?: string; n?: number; input?: string | string[]; messages?: { content: unknown }[] };

const read = async (incoming: IncomingMessage): Promise<Body> => {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  return JSON.parse(Buffer.concat(pieces).toString());
};

const keyOf = ({ prompt, input, messages }: Body): string => prompt ?? (messages ? String(messages.at(-1)?.content) : [input].flat().join(' '));

const answer = (path: string, body: Body, outgoing: ServerResponse): void => {
  const isChat = path.endsWith('/chat/completions');
  const text = isChat ? chat(`re: ${keyOf(body)}`) : path.endsWith('/embeddings') ? embedding([body.input].flat().length) : picture(body.n ?? 1);
  outgoing.writeHead(200, { 'content-type': isChat ? 'text/event-stream' : 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
};

/** Starts it on a free port. Call `stop` at the end. */
export const startFastUpstream = async ({ delayMs = 0, behave = () => 'answer' }: FastUpstreamOptions = {}): Promise<FastUpstream> => {
  const calls = new Map<string, number>();
  const answers = new Map<string, number>();
  let now = 0;
  let most = 0;

  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const path = incoming.url ?? '';
    const body = await read(incoming);
    const key = keyOf(body);
    const count = (calls.get(key) ?? 0) + 1;
    calls.set(key, count);
    now++;
    most = Math.max(most, now);
    try {
      const behaviour = await behave({ path, key, count });
      if (delayMs > 0) await sleep(delayMs, undefined, { ref: false });
      if (behaviour === 'hangUp') {
        outgoing.destroy();
      } else if (behaviour === 'answer') {
        answer(path, body, outgoing);
        answers.set(key, (answers.get(key) ?? 0) + 1);
      } else {
        const error = { message: `status ${behaviour.status}`, type: 'server_error', code: null, param: null };
        outgoing.writeHead(behaviour.status, { 'content-type': 'application/json', ...behaviour.headers }).end(JSON.stringify({ error }));
      }
    } finally {
      now--;
    }
  };

  const server = createServer((incoming, outgoing) => {
    // A caller that goes away in the middle is no fault of the upstream.
    serve(incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the upstream has no port');
  const url = `http://127.0.0.1:${address.port}`;

  return {
    url,
    calls,
    answers,
    underWay: () => ({ now, most }),
    env: { GROQ_API_KEY: 'test-groq', GROQ_BASE_URL: url, OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `${url}/v1` },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

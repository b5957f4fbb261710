import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a test wants to happen to one provider call. The body has arrived whole when it is asked. */
export type Behaviour = (request: { path: string; body: string; number: number; closed: Promise<void> }, response: ServerResponse) => void | Promise<void>;

/** An upstream for faults aimock cannot play: it counts what arrived and does what the test says with the connection. */
export type FaultUpstream = { url: string; bodies: string[]; env: Record<string, string>; stop: () => Promise<void> };

const read = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
};

export const startFaultUpstream = async (behave: Behaviour): Promise<FaultUpstream> => {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const closed = new Promise<void>((resolve) => response.on('close', resolve));
    void (async () => {
      const body = await read(request);
      bodies.push(body);
      await behave({ path: request.url ?? '', body, number: bodies.length, closed }, response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    bodies,
    env: { GROQ_API_KEY: 'test-groq', GROQ_BASE_URL: url, OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `${url}/v1` },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** Answers a streamed chat completion of one piece. */
export const answerChat = (response: ServerResponse, text: string): void => {
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(`${chunk({ role: 'assistant', content: text }, null)}${chunk({}, 'stop')}data: [DONE]\n\n`);
};

const ONE_PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** Answers a picture call with one pixel. */
export const answerImage = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ created: 1, data: [{ b64_json: ONE_PIXEL }], usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } }));
};
export const answerError = (response: ServerResponse, status: number, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ error: { message: `status ${status}`, type: 'server_error', code: null, param: null } }));
};

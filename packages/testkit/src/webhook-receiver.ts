import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request as it came: `body` is the raw text, as signatures are made over it. */
export type ReceivedRequest = { at: number; method: string; path: string; headers: IncomingHttpHeaders; body: string };

/** What to answer: a status, or more. `hangUp` cuts the connection without an answer. */
type Reply = number | { status: number; headers?: Record<string, string>; body?: string; delayMs?: number } | 'hangUp';

export type ReceiverOptions = {
  /** Decides each answer; `number` is 0 for the first request. Default: 200 always. */
  respond?: (request: ReceivedRequest, number: number) => Reply;
};

export type WebhookReceiver = {
  /** Where to send: any path below it is received too. */
  url: string;
  port: number;
  requests: ReceivedRequest[];
  /** Resolves with all requests once there are `count`. @throws Error after `timeoutMs` (default 10 s) that says how many came. */
  waitFor: (count: number, timeoutMs?: number) => Promise<ReceivedRequest[]>;
  /** Cuts open connections and stops listening. */
  stop: () => Promise<void>;
};

const readBody = async (incoming: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
};

const answer = async (outgoing: ServerResponse, reply: Reply): Promise<void> => {
  if (reply === 'hangUp') {
    outgoing.destroy();
    return;
  }
  const { status, headers = {}, body = '', delayMs = 0 } = typeof reply === 'number' ? { status: reply } : reply;
  if (delayMs > 0) await sleep(delayMs, undefined, { ref: false });
  outgoing.writeHead(status, headers).end(body);
};

/** Starts an HTTP server on 127.0.0.1 that records every request and answers as told. */
export const startReceiver = async ({ respond = () => 200 }: ReceiverOptions = {}): Promise<WebhookReceiver> => {
  const requests: ReceivedRequest[] = [];
  const receive = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const { method = '', url: path = '', headers } = incoming;
    const request = { at: Date.now(), method, path, headers, body: await readBody(incoming) };
    requests.push(request);
    await answer(outgoing, respond(request, requests.length - 1));
  };
  const server = createServer((incoming, outgoing) => {
    // A sender that goes away in the middle is no fault of the receiver.
    receive(incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the receiver has no port');

  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    port: address.port,
    requests,
    async waitFor(count, timeoutMs = 10_000) {
      const deadline = Date.now() + timeoutMs;
      while (requests.length < count) {
        if (Date.now() > deadline) throw new Error(`${requests.length} of ${count} requests came within ${timeoutMs} ms`);
        await sleep(10);
      }
      return requests;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

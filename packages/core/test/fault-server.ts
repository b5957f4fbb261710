import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** A request as it came over the wire. */
type WireRequest = { line: string; headers: Record<string, string>; body: Buffer };

/** What the server does with a request: it may write anything, reset, or do nothing. */
export type Behaviour = (socket: Socket, request: WireRequest) => void;

export type FaultServer = {
  url: string;
  requests: WireRequest[];
  /** Connections ever made. */
  connections: () => number;
  /** Connections now open. */
  open: () => number;
  /** Answers the next and all later requests this way. */
  behave: (behaviour: Behaviour) => void;
  /** Resolves when a request has arrived whole. */
  arrived: () => Promise<void>;
  stop: () => Promise<void>;
};

/** A whole reply with its length. */
export const reply =
  (status: number, body: string, headers: Record<string, string> = {}): Behaviour =>
  (socket) => {
    const head = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers };
    socket.write(
      `HTTP/1.1 ${status} Status\r\n${Object.entries(head)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n${body}`,
    );
  };

const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
export const sseHead = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
export const event = (data: unknown): string => chunked(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
/** An event as Anthropic names them. */
export const claudeEvent = (data: { type: string }): string => chunked(`event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`);
export const endOfChunks = '0\r\n\r\n';

const parseHead = (head: string): { line: string; headers: Record<string, string> } => {
  const [line = '', ...rest] = head.split('\r\n');
  const headers = Object.fromEntries(rest.map((header) => [header.slice(0, header.indexOf(':')).toLowerCase(), header.slice(header.indexOf(':') + 1).trim()]));
  return { line, headers };
};

/** A server on 127.0.0.1 that reads whole HTTP requests and answers with whatever bytes, or faults, a test wants. */
export const startFaultServer = async (first: Behaviour = reply(500, '{}')): Promise<FaultServer> => {
  let behaviour = first;
  const requests: WireRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const waiting: (() => void)[] = [];
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    let received = Buffer.alloc(0);
    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      const { line, headers } = parseHead(received.toString('latin1', 0, end));
      const length = Number(headers['content-length'] ?? 0);
      if (received.length < end + 4 + length) return;
      const request = { line, headers, body: received.subarray(end + 4, end + 4 + length) };
      received = received.subarray(end + 4 + length);
      requests.push(request);
      for (const wake of waiting.splice(0)) wake();
      behaviour(socket, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    connections: () => connections,
    open: () => sockets.size,
    behave: (next) => {
      behaviour = next;
    },
    arrived: () => new Promise((resolve) => waiting.push(resolve)),
    async stop() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
};

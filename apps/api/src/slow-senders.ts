import type { IncomingMessage, Server, ServerResponse } from 'node:http';

/** What a sender must bring until its request is complete. */
export type SendingRate = { minBytes: number; everyMs: number; checkEveryMs: number };

/** 1 MiB a minute, 17.5 kB/s: 200 MB may take 200 minutes. */
export const SENDING_RATE: SendingRate = { minBytes: 1024 * 1024, everyMs: 60_000, checkEveryMs: 5000 };

const TIMEOUT_REPLY = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n';

type Socket = IncomingMessage['socket'];
type Sending = { incoming: IncomingMessage; outgoing: ServerResponse; sinceMs: number; bytesRead: number };

/**
 * Cuts slow senders (slow-loris) and lets a large upload go on: a request is complete `everyMs` after it began, or has brought `minBytes` in
 * every such span. Stands in for Node's `requestTimeout`, which knows the first half of that rule only and would cut every upload at its time.
 * What is kept is one entry for each connection, looked at a few times a minute; headers that do not end are Node's `headersTimeout`'s.
 */
export const cutSlowSenders = (server: Server, { minBytes, everyMs, checkEveryMs }: SendingRate): void => {
  const senders = new Map<Socket, Sending>();
  server.on('request', (incoming, outgoing) => {
    senders.set(incoming.socket, { incoming, outgoing, sinceMs: performance.now(), bytesRead: incoming.socket.bytesRead });
  });
  const check = (): void => {
    const nowMs = performance.now();
    for (const [socket, sending] of senders) {
      if (sending.incoming.complete || socket.destroyed) {
        senders.delete(socket);
      } else if (nowMs - sending.sinceMs >= everyMs) {
        if (socket.bytesRead - sending.bytesRead < minBytes) cut(socket, sending.outgoing);
        sending.sinceMs = nowMs;
        sending.bytesRead = socket.bytesRead;
      }
    }
  };
  const timer = setInterval(check, checkEveryMs).unref();
  server.on('close', () => clearInterval(timer));
};

/** As Node itself does it; a reply that has begun cannot be another any more. */
const cut = (socket: Socket, outgoing: ServerResponse): void => {
  if (outgoing.headersSent) socket.destroy();
  else socket.end(TIMEOUT_REPLY, () => socket.destroy());
};

import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Environment } from './environment.ts';
import { cutSlowSenders, SENDING_RATE, type SendingRate } from './slow-senders.ts';

export type Listening = {
  server: Server;
  /** Takes no new connections and resolves when the requests under way are answered. */
  drain: () => Promise<void>;
};

/** Slow senders are cut (slow-loris): headers within 15 s, the rest of the request as slow-senders.ts says. */
const HEADERS_TIMEOUT_MS = 15_000;

const CLOSE_IDLE_EVERY_MS = 50;

type Address = { port: number; host: string; sendingRate?: SendingRate };

/** Serves `app`. @throws what `listen` throws, e.g. EADDRINUSE. */
export const listen = async (app: Hono<Environment>, { port, host, sendingRate = SENDING_RATE }: Address): Promise<Listening> => {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: 0, connectionsCheckingInterval: 5000, keepAliveTimeout: 65_000 },
    getRequestListener(app.fetch),
  );
  cutSlowSenders(server, sendingRate);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
  return {
    server,
    drain: () =>
      new Promise((resolve) => {
        // A connection whose request is answered meanwhile is idle then, and would be kept for the next request.
        const timer = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_EVERY_MS);
        server.close(() => {
          clearInterval(timer);
          resolve();
        });
      }),
  };
};

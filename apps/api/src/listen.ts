import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Environment } from './environment.ts';

export type Listening = {
  server: Server;
  /** Takes no new connections and resolves when the requests under way are answered. */
  drain: () => Promise<void>;
};

/** Slow senders are cut: headers within 15 s, the whole request within 60 s (slow-loris). */
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 60_000;

const CLOSE_IDLE_EVERY_MS = 50;

/** Serves `app`. @throws what `listen` throws, e.g. EADDRINUSE. */
export const listen = async (app: Hono<Environment>, { port, host }: { port: number; host: string }): Promise<Listening> => {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 5000, keepAliveTimeout: 65_000 },
    getRequestListener(app.fetch),
  );
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

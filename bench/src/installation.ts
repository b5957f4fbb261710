import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@fana/testkit/free-port.ts';
import { startRedis } from '@fana/testkit/redis.ts';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { type Running, startNode } from './processes.ts';

/** The first key of every installation here. */
export const ADMIN_KEY = 'bench-admin-key-0123456789-0123456789';

/** An API, a worker, their Redis and an upstream as fast as can be, as processes of their own. */
export type Installation = { client: OpenAI; url: string; redis: Redis; apiPid: number; folder: string; stop: () => Promise<void> };

/** Starts everything; call `stop` at the end. `delayMs` is what the upstream takes for each answer. */
export const startInstallation = async (delayMs: number): Promise<Installation> => {
  const redis = await startRedis({ appendOnly: true, fsync: 'everysec' });
  const upstream = await startNode('bench/src/fast-upstream.ts', { DELAY_MS: String(delayMs) }, 'upstream is ready at');
  const upstreamUrl = /ready at (\S+)/.exec(upstream.output())?.[1] ?? '';
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'fana-bench-'));
  const env = {
    REDIS_URL: redis.url,
    PORT: String(port),
    FANA_ADMIN_KEY: ADMIN_KEY,
    FANA_SIGNING_SECRET: 'bench-signing-secret-0123456789-0123456789',
    FANA_DATA_DIR: folder,
    OPENAI_API_KEY: 'bench',
    OPENAI_BASE_URL: `${upstreamUrl}/v1`,
    GROQ_API_KEY: 'bench',
    GROQ_BASE_URL: upstreamUrl,
  };
  const api = await startNode('apps/api/dist/main.mjs', env, 'api is ready');
  const worker = await startNode('apps/worker/dist/main.mjs', env, 'worker is ready');
  const url = `http://127.0.0.1:${port}`;
  const connection = new Redis(redis.url);
  return {
    client: new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${url}/v1`, maxRetries: 0 }),
    url,
    redis: connection,
    apiPid: api.child.pid ?? 0,
    folder,
    async stop() {
      connection.disconnect();
      for (const process of [worker, api, upstream] satisfies Running[]) await process.stop();
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
};

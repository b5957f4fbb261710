import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@fana/testkit/free-port.ts';
import { startRedis } from '@fana/testkit/redis.ts';
import autocannon from 'autocannon';
import { type Figure, pairedFigure } from './figure.ts';
import { cpuSeconds, startNode } from './processes.ts';

const ROUNDS = 5;
const SECONDS = 5;
const CONNECTIONS = 64;
const ADMIN_KEY = 'bench-admin-key-0123456789-0123456789';

type Side = { start: () => Promise<{ url: string; apiPid: number; redisPid: number; headers: Record<string, string>; stop: () => Promise<void> }> };
type Measured = { perSecond: number; cpuMsPerJob: number };

const redisPid = async (url: string): Promise<number> => {
  const { Redis } = await import('ioredis');
  const client = new Redis(url);
  const info = await client.info('server');
  client.disconnect();
  return Number(/process_id:(\d+)/.exec(info)?.[1]);
};

const bare: Side = {
  async start() {
    const redis = await startRedis({ appendOnly: true, fsync: 'everysec' });
    const port = await freePort();
    const api = await startNode('bench/src/bare-api.ts', { REDIS_URL: redis.url, PORT: String(port) }, 'bare api is ready');
    return {
      url: `http://127.0.0.1:${port}`,
      apiPid: api.child.pid ?? 0,
      redisPid: await redisPid(redis.url),
      headers: {},
      stop: async () => {
        await api.stop();
        await redis.stop();
      },
    };
  },
};

/** Everything on: a key with a limit, its checks, classification, language, idempotency, record, index, message. */
const ours: Side = {
  async start() {
    const redis = await startRedis({ appendOnly: true, fsync: 'everysec' });
    const port = await freePort();
    const dataDir = await mkdtemp(join(tmpdir(), 'fana-bench-'));
    const env = {
      REDIS_URL: redis.url,
      PORT: String(port),
      FANA_ADMIN_KEY: ADMIN_KEY,
      FANA_SIGNING_SECRET: 'bench-signing-secret-0123456789-0123456789',
      FANA_DATA_DIR: dataDir,
    };
    const api = await startNode('apps/api/dist/main.mjs', env, 'api is ready');
    const url = `http://127.0.0.1:${port}`;
    const response = await fetch(`${url}/v1/admin/keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'bench', tenant: 'bench', scopes: ['jobs'], limits: { requests_per_minute: 10_000_000 } }),
    });
    const { key } = (await response.json()) as { key: string };
    return {
      url,
      apiPid: api.child.pid ?? 0,
      redisPid: await redisPid(redis.url),
      headers: { authorization: `Bearer ${key}` },
      stop: async () => {
        await api.stop();
        await redis.stop();
        await rm(dataDir, { recursive: true, force: true });
      },
    };
  },
};

/** One timed run against a fresh process and a fresh Redis, after a warm-up. */
const measure = async (side: Side): Promise<Measured> => {
  const running = await side.start();
  const body = JSON.stringify({ input: 'what is the capital of Peru, and how far is it from Cusco by bus?', metadata: { order: '42' } });
  const fire = (seconds: number): Promise<autocannon.Result> =>
    autocannon({
      url: `${running.url}/v1/jobs`,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': '[<id>]', ...running.headers },
      body,
      connections: CONNECTIONS,
      duration: seconds,
      // autocannon puts a new id into every request: an Idempotency-Key of its own for each, on both sides.
      idReplacement: true,
    });
  try {
    await fire(2);
    const cpuBefore = cpuSeconds(running.apiPid) + cpuSeconds(running.redisPid);
    const result = await fire(SECONDS);
    const cpu = cpuSeconds(running.apiPid) + cpuSeconds(running.redisPid) - cpuBefore;
    if (result.non2xx > 0 || result.errors > 0) throw new Error(`accept: ${result.non2xx} replies were not 2xx, ${result.errors} errors`);
    return { perSecond: result['2xx'] / result.duration, cpuMsPerJob: (cpu * 1000) / result['2xx'] };
  } finally {
    await running.stop();
  }
};

/** `POST /v1/jobs` with everything on against a bare Hono handler that only awaits `queue.add`. */
export const accept = async (): Promise<Figure[]> => {
  const rounds: { ours: Measured; baseline: Measured }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // Who goes first alternates, so that a machine that slows down or warms up favours nobody.
    const first = round % 2 === 0 ? await measure(bare) : undefined;
    const measured = await measure(ours);
    rounds.push({ ours: measured, baseline: first ?? (await measure(bare)) });
  }
  const pick = (what: keyof Measured) => rounds.map(({ ours: own, baseline }) => ({ ours: own[what], baseline: baseline[what] }));
  return [
    pairedFigure('accept', 'throughput', 'jobs/s', pick('perSecond'), { atLeast: 0.6 }),
    pairedFigure('accept', 'cpu of api + redis', 'ms/job', pick('cpuMsPerJob'), { atMost: 1.6 }),
  ];
};

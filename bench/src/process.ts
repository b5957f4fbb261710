import { setTimeout as sleep } from 'node:timers/promises';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { DUE } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { loadLanguageDetector } from '@fana/core/triggers/language.ts';
import { freePort } from '@fana/testkit/free-port.ts';
import { startRedis } from '@fana/testkit/redis.ts';
import { testDeps } from '@fana/testkit/test-deps.ts';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { type Figure, pairedFigure } from './figure.ts';
import { startNode } from './processes.ts';

const ROUNDS = 5;
const JOBS = 4000;
const CONCURRENCY = 50;

/** Resolves with jobs per second, timed from the first job gone to the last: the start of the process is not counted. */
const timeDrain = async (left: () => Promise<number>): Promise<number> => {
  while ((await left()) === JOBS) await sleep(1);
  const startedAt = performance.now();
  const before = await left();
  while ((await left()) > 0) await sleep(5);
  return before / ((performance.now() - startedAt) / 1000);
};

const bareRound = async (upstreamUrl: string): Promise<number> => {
  const redis = await startRedis({ appendOnly: true, fsync: 'everysec' });
  const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
  const queue = new Queue('chat', { connection });
  await queue.addBulk(Array.from({ length: JOBS }, (_, n) => ({ name: 'run', data: { input: `question ${n}` } })));
  const worker = await startNode(
    'bench/src/bare-worker.ts',
    { REDIS_URL: redis.url, OPENAI_BASE_URL: upstreamUrl, CONCURRENCY: String(CONCURRENCY) },
    'bare worker is ready',
  );
  const perSecond = await timeDrain(async () => {
    const { waiting = 0, active = 0 } = await queue.getJobCounts('waiting', 'active');
    return waiting + active;
  });
  await worker.stop();
  await queue.close();
  connection.disconnect();
  await redis.stop();
  return perSecond;
};

const ourRound = async (upstreamUrl: string): Promise<number> => {
  const redis = await startRedis({ appendOnly: true, fsync: 'everysec' });
  const env = { OPENAI_API_KEY: 'bench', OPENAI_BASE_URL: upstreamUrl };
  const deps = testDeps(redis.url, env);
  const acceptor = createAcceptor(deps);
  const submitter = { tenant: 'bench', keyId: 'key_bench', requestsPerMinute: 0 };
  for (let n = 0; n < JOBS; n += 200) {
    await Promise.all(
      Array.from({ length: 200 }, (_, at) => submitJob(deps, acceptor, submitter, { type: 'chat', input: `question ${n + at}` }, { rawBody: '' })),
    );
  }
  const worker = await startNode(
    'apps/worker/dist/main.mjs',
    {
      ...env,
      REDIS_URL: redis.url,
      FANA_ADMIN_KEY: deps.config.adminKey,
      FANA_SIGNING_SECRET: deps.config.signingSecret,
      FANA_DATA_DIR: deps.config.dataDir,
      FANA_CONCURRENCY_CHAT: String(CONCURRENCY),
    },
    'worker is ready',
  );
  const perSecond = await timeDrain(() => deps.redis.zcard(DUE));
  await worker.stop();
  await deps.close();
  await redis.stop();
  return perSecond;
};

/** Our worker against a bare BullMQ worker making the same call with the same client at zero upstream latency. */
export const processSuite = async (): Promise<Figure[]> => {
  await loadLanguageDetector();
  const port = await freePort();
  const upstream = await startNode('bench/src/zero-upstream.ts', { PORT: String(port) }, 'upstream is ready');
  const url = `http://127.0.0.1:${port}`;
  const rounds: { ours: number; baseline: number }[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const first = round % 2 === 0 ? await bareRound(url) : undefined;
      const own = await ourRound(url);
      rounds.push({ ours: own, baseline: first ?? (await bareRound(url)) });
    }
  } finally {
    await upstream.stop();
  }
  return [pairedFigure('process', 'throughput', 'jobs/s', rounds, { atLeast: 0.7 })];
};

import { setTimeout as sleep } from 'node:timers/promises';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import type { LimitKind } from '@fana/testkit/enforced-limit.ts';
import { freePort } from '@fana/testkit/free-port.ts';
import { startRedis } from '@fana/testkit/redis.ts';
import { testDeps } from '@fana/testkit/test-deps.ts';
import { type Figure, type Goal, pairedFigure } from './figure.ts';
import { type Running, startNode } from './processes.ts';

const PER_MINUTE = 600;
const MINUTES = 3;
const PROCESSES = 3;
const LIMITS = JSON.stringify({ openai: { 'gpt-image-2': { images_per_minute: PER_MINUTE } } });
const MINUTE_MS = 60_000;

type Counts = { accepted: number; limited: number };
/** `isInformed`: the limit is configured; else it is learned from the 429s. */
type Course = { name: string; kind: LimitKind; latencyMs: number; isInformed: boolean; start: (world: World) => Promise<Running[]> };
type World = { redisUrl: string; upstreamUrl: string; limits: string };

/** Worker processes with more jobs than they get through: the whole path of an interactive picture. */
const workers = async ({ redisUrl, upstreamUrl, limits }: World): Promise<Running[]> => {
  const env = { OPENAI_API_KEY: 'bench', OPENAI_BASE_URL: upstreamUrl, ...(limits !== '' && { FANA_PROVIDER_LIMITS: limits }) };
  const deps = testDeps(redisUrl, env);
  const acceptor = createAcceptor(deps);
  const submitter = { tenant: 'bench', keyId: 'key_bench', requestsPerMinute: 0 };
  const body = { type: 'image', model: 'gpt-image-2', input: 'a fox' };
  for (let n = 0; n < (MINUTES + 2) * PER_MINUTE; n += 200) {
    await Promise.all(Array.from({ length: 200 }, () => submitJob(deps, acceptor, submitter, body, { rawBody: '' })));
  }
  const { adminKey, signingSecret, dataDir } = deps.config;
  const settings = { ...env, REDIS_URL: redisUrl, FANA_ADMIN_KEY: adminKey, FANA_SIGNING_SECRET: signingSecret, FANA_DATA_DIR: dataDir };
  const running: Running[] = [];
  for (let n = 0; n < PROCESSES; n++) {
    running.push(await startNode('apps/worker/dist/main.mjs', { ...settings, FANA_CONCURRENCY_IMAGE: '40', LOG_LEVEL: 'info' }, 'worker is ready'));
  }
  return [...running, { ...(running[0] as Running), stop: () => deps.close() }];
};

/** Processes that call as batches do. */
const callers = ({ redisUrl, upstreamUrl, limits }: World): Promise<Running[]> =>
  Promise.all(
    Array.from({ length: PROCESSES }, () =>
      startNode('bench/src/paced-caller.ts', { REDIS_URL: redisUrl, OPENAI_BASE_URL: upstreamUrl, LIMITS: limits }, 'caller is ready'),
    ),
  );

const COURSES: Course[] = [
  { name: 'workers, sliding window', kind: 'sliding', latencyMs: 2000, isInformed: true, start: workers },
  { name: 'batch, bucket', kind: 'bucket', latencyMs: 2000, isInformed: true, start: callers },
  { name: 'batch, fixed window', kind: 'fixed', latencyMs: 200, isInformed: true, start: callers },
  { name: 'batch, bucket, limit not configured', kind: 'bucket', latencyMs: 500, isInformed: false, start: callers },
  { name: 'batch, sliding window, limit not configured', kind: 'sliding', latencyMs: 500, isInformed: false, start: callers },
];

const runCourse = async ({ name, kind, latencyMs, isInformed, start }: Course): Promise<Figure[]> => {
  const redis = await startRedis();
  const port = await freePort();
  const settings = { PORT: String(port), KIND: kind, PER_MINUTE: String(PER_MINUTE), LATENCY_MS: String(latencyMs) };
  const upstream = await startNode('bench/src/limited-upstream.ts', settings, 'upstream is ready');
  const upstreamUrl = `http://127.0.0.1:${port}`;
  const counts = async (): Promise<Counts> => (await fetch(`${upstreamUrl}/counts`)).json() as Promise<Counts>;
  const running = await start({ redisUrl: redis.url, upstreamUrl, limits: isInformed ? LIMITS : '' });
  try {
    // A bucket is full at first, and a window empty: neither is what a minute of work gets.
    await sleep(MINUTE_MS / 3);
    const minutes: { ours: number; baseline: number }[] = [];
    const first = await counts();
    let before = first;
    for (let minute = 0; minute < MINUTES; minute++) {
      await sleep(MINUTE_MS);
      const now = await counts();
      minutes.push({ ours: now.accepted - before.accepted, baseline: PER_MINUTE });
      before = now;
    }
    // Of all calls, those of the start too.
    const shares = [{ ours: before.limited, baseline: before.accepted + before.limited }];
    const goal = (wanted: Goal): Goal => (isInformed ? wanted : undefined);
    return [
      pairedFigure('pacing', `use of the limit: ${name}`, 'images/min', minutes, goal({ atLeast: 0.9 })),
      pairedFigure('pacing', `answered 429: ${name}`, 'calls', shares, goal({ atMost: 0.01 })),
    ];
  } finally {
    await Promise.all(running.map(({ stop }) => stop()));
    await upstream.stop();
    await redis.stop();
  }
};

/** Several processes against upstreams that enforce 600 pictures a minute, each in its own way, all at the same time. */
export const pacing = async (): Promise<Figure[]> => {
  return (await Promise.all(COURSES.map(runCourse))).flat();
};

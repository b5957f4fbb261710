import { connectConsumer } from '@fana/core/redis.ts';
import { type EnforcedLimit, enforceLimit } from '@fana/testkit/enforced-limit.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freshLane, pictures } from './lanes.ts';

let server: TestRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connectConsumer(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const MINUTE_MS = 60_000;
const STEP_MS = 50;

type Minute = { accepted: number; limited: number };

/** A process that always has more to do, against an upstream that says nothing of its limit but 429, by a clock of its own. */
const run = async (upstream: EnforcedLimit, latencyMs: number, minutes: number): Promise<Minute[]> => {
  const { look, at } = freshLane(redis);
  const told = Array.from({ length: minutes }, (): Minute => ({ accepted: 0, limited: 0 }));
  let running: { endsMs: number; grantedMs: number; retryAfterMs: number | undefined }[] = [];
  for (let ms = 0; ms < minutes * MINUTE_MS; ms += STEP_MS) {
    const ended = running.filter(({ endsMs }) => endsMs <= ms);
    running = running.filter(({ endsMs }) => endsMs > ms);
    const good = ended.filter(({ retryAfterMs }) => retryAfterMs === undefined);
    const bad = ended.filter(({ retryAfterMs }) => retryAfterMs !== undefined);
    const newest = (calls: typeof running): number => Math.max(0, ...calls.map(({ grantedMs }) => grantedMs));
    const view = await look(ms, {
      own: { batch: running.length },
      report: {
        succeeded: good.length,
        succeededGranted: newest(good),
        limited: bad.length,
        limitedImages: bad.length,
        limitedGranted: newest(bad),
        limitedMs: Math.max(0, ...bad.map(({ retryAfterMs = 0 }) => 1000 * Math.ceil(retryAfterMs / 1000))),
      },
      wanted: { batch: pictures(100) },
    });
    for (let n = 0; n < view.granted.batch; n++) {
      const refused = upstream.take(at(ms));
      const minute = told[Math.floor(ms / MINUTE_MS)];
      if (minute) minute[refused ? 'limited' : 'accepted'] += 1;
      // A refusal comes at once.
      const endsMs = ms + (refused ? 2 * STEP_MS : latencyMs * (0.5 + ((n * 7919 + ms) % 1000) / 1000));
      running.push({ endsMs, grantedMs: at(ms), retryAfterMs: refused?.retryAfterMs });
    }
  }
  return told;
};

it.each([
  ['sliding', 600, 500],
  ['fixed', 600, 500],
  ['bucket', 600, 500],
  ['bucket', 600, 5000],
  ['bucket', 600, 100],
  ['sliding', 120, 2000],
] as const)(
  'a limit that only 429s tell (%s, %i a minute, calls of %i ms) is found, used and hardly ever run into',
  async (kind, perMinute, latencyMs) => {
    // The first minutes are those of the search: a bucket is full at first, and says more than it can keep.
    const minutes = (await run(enforceLimit(kind, perMinute), latencyMs, 8)).slice(3);
    const sum = (what: keyof Minute): number => minutes.reduce((total, minute) => total + minute[what], 0);
    expect(sum('accepted') / minutes.length).toBeGreaterThanOrEqual(0.9 * perMinute);
    expect(sum('limited') / (sum('accepted') + sum('limited'))).toBeLessThanOrEqual(0.01);
  },
  60_000,
);

/** Refuses a share of the calls, whoever asks and how fast. */
const moody = (share: number, retryAfterMs: number): EnforcedLimit => {
  let state = 1;
  const next = (): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  return { take: () => (next() < share ? { retryAfterMs } : undefined) };
};

it.each([
  [0.01, 800],
  [0.03, 400],
  [0.1, 120],
])(
  'an upstream that refuses %d of all calls for no reason is not taken for one with a limit: %i calls a minute go on',
  async (share, perMinute) => {
    const minutes = await run(moody(share, 1000), 500, 6);
    // Each refusal is a pause of 1 s for everybody; what is left between them is used, from the first minute on.
    for (const { accepted } of minutes) expect(accepted).toBeGreaterThan(perMinute);
  },
  60_000,
);

it('nothing is learned from one 429 that comes while little is asked: the pause is answer enough', async () => {
  const { key, look, at } = freshLane(redis);
  await look(0, { wanted: { interactive: [0, 0, 0] } });
  await look(100, { report: { limited: 1, limitedGranted: at(0), limitedMs: 500 } });
  expect(await redis.hmget(key, 'rate_requests', 'rate_images', 'limit')).toEqual([null, null, null]);
  // Another one soon after is a sign.
  await look(5000, { wanted: { interactive: [0, 0, 0] } });
  await look(5100, { report: { limited: 3, limitedGranted: at(5000), limitedMs: 500 } });
  expect(await redis.hmget(key, 'rate_requests', 'limit')).toEqual([null, '2.100']);
});

it('what was learned and has held nobody up for five minutes is forgotten', async () => {
  const { key, look, at } = freshLane(redis);
  await look(0, { wanted: { interactive: Array.from({ length: 100 }, () => 0) } });
  await look(100, { own: { interactive: 90 }, report: { limited: 10, limitedGranted: at(0), limitedMs: 10_000 } });
  expect(await redis.hmget(key, 'rate_requests', 'limit')).toEqual(['90.000', '70.000']);
  await look(290_000);
  expect(await redis.hmget(key, 'rate_requests', 'limit')).toEqual(['90.000', '70.000']);
  expect((await look(300_200, { wanted: { interactive: Array.from({ length: 150 }, () => 0) } })).granted.interactive).toBe(150);
  expect(await redis.hmget(key, 'rate_requests', 'limit', 'learned')).toEqual([null, null, null]);
});

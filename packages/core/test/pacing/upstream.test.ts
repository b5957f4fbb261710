import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@fana/core/errors.ts';
import { paced } from '@fana/core/providers/pacing/paced.ts';
import { createPacer, type PaceClass, type Pacer } from '@fana/core/providers/pacing/pacer.ts';
import { connectConsumer } from '@fana/core/redis.ts';
import { enforceLimit } from '@fana/testkit/enforced-limit.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { testConfig } from '@fana/testkit/test-config.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';

let server: TestRedis;
const connections: Redis[] = [];
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  for (const connection of connections) connection.disconnect();
  await server.stop();
});

const PER_MINUTE = 600;
const SECONDS = 10;
const limits = JSON.stringify({ openai: { m: { images_per_minute: PER_MINUTE } } });

const processPacer = (): Pacer => {
  const redis = connectConsumer(server.url);
  connections.push(redis);
  return createPacer({ redis, config: testConfig({ FANA_PROVIDER_LIMITS: limits }) });
};

// The long version, with workers and windows, is `npm run bench -- pacing`.
it('three processes that want more use an enforced limit of 600 a minute and are hardly ever refused; who waits for a picture is not behind a batch', async () => {
  const upstream = enforceLimit('bucket', PER_MINUTE);
  const until = new AbortController();
  const pacers = [processPacer(), processPacer(), processPacer()];
  const counts = { accepted: 0, refused: 0 };
  const waits: number[] = [];
  const picture = (pacer: Pacer, paceClass: PaceClass): Promise<void> =>
    paced(pacer, { provider: 'openai', model: 'm', class: paceClass, images: 1, maxWaitMs: 5000, signal: until.signal }, async () => {
      const refused = upstream.take(Date.now());
      counts[refused ? 'refused' : 'accepted'] += 1;
      await sleep(refused ? 1 : 300 * Math.random());
      if (refused) throw new AppError('provider_rate_limited', 'no', { provider: { outcome: 'known', status: 429 }, retryAfterMs: 1000 });
    });
  const batch = async (pacer: Pacer): Promise<void> => {
    while (!until.signal.aborted) {
      await picture(pacer, 'batch').catch((error: AppError) => sleep(Math.min(error.retryAfterMs ?? 0, 1000)));
    }
  };
  const from = performance.now();
  const running = pacers.flatMap((pacer) => Array.from({ length: 30 }, () => batch(pacer)));
  // A bucket is full at first: what it held is not what a second of work gets.
  await sleep(2000);
  const accepted = counts.accepted;
  for (let n = 0; n < SECONDS - 2; n++) {
    const askedMs = performance.now();
    if (n >= 4) await picture(pacers[n % 3] as Pacer, 'interactive').then(() => waits.push(performance.now() - askedMs));
    await sleep(Math.max(0, 1000 - (performance.now() - askedMs)));
  }
  const seconds = (performance.now() - from) / 1000 - 2;
  const used = (counts.accepted - accepted) / ((seconds * PER_MINUTE) / 60);
  until.abort();
  await Promise.all(running);
  for (const pacer of pacers) pacer.close();
  // Four of the eight seconds leave the batch 0.7 of the limit.
  expect(used).toBeGreaterThan(0.7);
  expect(counts.refused / (counts.accepted + counts.refused)).toBeLessThanOrEqual(0.02);
  // 300 ms are the picture's own at most.
  expect(waits).toHaveLength(4);
  expect(Math.max(...waits)).toBeLessThan(1500);
}, 30_000);

import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { claimJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { BULLMQ_PREFIX } from '@fana/core/queues.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import { createWorkers } from '../src/workers.ts';

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper(deps, subscriber);
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});

it('a sweep that fails is logged, and the next one comes', async () => {
  const lines: string[] = [];
  const logger = pino({}, { write: (line: string) => lines.push(line) });
  let sweeps = 0;
  const now = (): number => {
    sweeps++;
    if (sweeps === 1) throw new Error('the clock is broken');
    return Date.now();
  };
  await deps.queues.scheduleSweep(300);
  const workers = createWorkers({ ...deps, logger, now }, { jobs: keeper, batches: keeper }, deps.connections.bull);
  await expect.poll(() => sweeps, { timeout: 10_000 }).toBeGreaterThan(3);
  await workers.drain();
  expect(lines.filter((line) => line.includes('the clock is broken'))).toHaveLength(1);
});

it('a message that meets the lease of a dead worker comes again when that ends, before everything that waits', async () => {
  const body = { type: 'chat', input: 'hi', priority: 7 };
  const { job } = await submitJob(deps, createAcceptor(deps), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' });
  await claimJob(deps.redis, job.id, 1, 'lease_of_the_dead');
  const workers = createWorkers(deps, { jobs: keeper, batches: keeper }, deps.connections.bull);
  const message = `${job.id}-1`;
  await expect.poll(() => deps.redis.zscore(`${BULLMQ_PREFIX}:chat:delayed`, message), { timeout: 5000 }).not.toBeNull();
  await workers.drain();
  // The queue serves messages without a priority first.
  expect(await deps.redis.hget(`${BULLMQ_PREFIX}:chat:${message}`, 'priority')).toBe('0');
});

it('a message whose turn at its provider is far away comes again then, one priority before those who came after it', async () => {
  const other = testDeps(redis.url, { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' });
  const request = { provider: 'openai', model: 'gpt-5.5', class: 'interactive', images: 0, maxWaitMs: 0, signal: new AbortController().signal } as const;
  (await other.pacer.acquire(request)).done({ kind: 'limited', retryAfterMs: 60_000 });
  const body = { type: 'chat', model: 'gpt-5.5', input: 'hi', priority: 7 };
  const { job } = await submitJob(other, createAcceptor(other), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' });
  const workers = createWorkers(other, { jobs: keeper, batches: keeper }, other.connections.bull);
  const message = `${job.id}-1`;
  await expect.poll(() => other.redis.zscore(`${BULLMQ_PREFIX}:chat:delayed`, message), { timeout: 5000 }).not.toBeNull();
  await workers.drain();
  expect(await other.redis.hget(`${BULLMQ_PREFIX}:chat:${message}`, 'priority')).toBe('6');
  // BullMQ keeps the time in the score above its 12 lowest bits.
  const dueMs = Number(await other.redis.zscore(`${BULLMQ_PREFIX}:chat:delayed`, message)) / 4096;
  expect(dueMs - Date.now()).toBeGreaterThan(50_000);
  await other.close();
});

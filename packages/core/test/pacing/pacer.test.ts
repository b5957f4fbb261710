import { setTimeout as sleep } from 'node:timers/promises';
import { createPacer, type PaceRequest, type Pacer } from '@fana/core/providers/pacing/pacer.ts';
import { connectConsumer } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { testConfig } from '@fana/testkit/test-config.ts';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../loopback.ts';

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

const pacers: Pacer[] = [];
afterEach(async () => {
  for (const pacer of pacers.splice(0)) pacer.close();
  await redis.flushall();
});

/** The pacer of one process. */
const processPacer = (limits: object = {}): Pacer => {
  const pacer = createPacer({ redis, config: testConfig({ FANA_PROVIDER_LIMITS: JSON.stringify(limits) }) });
  pacers.push(pacer);
  return pacer;
};
const asked = (wanted: Partial<PaceRequest> = {}): PaceRequest => ({
  provider: 'openai',
  model: 'm',
  class: 'interactive',
  images: 0,
  maxWaitMs: 5000,
  signal: new AbortController().signal,
  ...wanted,
});
const scriptCalls = async (): Promise<number> => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
const inFlight = async (model = 'm'): Promise<number> => {
  const lane = await redis.hgetall(`fana:pace:openai:${model}`);
  return Object.entries(lane)
    .filter(([field]) => field.startsWith('p:'))
    .reduce((sum, [, value]) => sum + Number(value.split(' ')[0]) + Number(value.split(' ')[1]), 0);
};

describe('a pacer', () => {
  it('touches nothing before its first use, and nothing for the simulated provider', async () => {
    const pacer = processPacer();
    const before = await scriptCalls();
    (await pacer.acquire(asked({ provider: 'simulated' }))).done({ kind: 'ok' });
    expect(await scriptCalls()).toBe(before);
    expect(await redis.keys('*')).toEqual([]);
  });

  it('asks once for all that wait in the same turn, whatever their models, and reports all that end together with one more', async () => {
    const pacer = processPacer();
    (await pacer.acquire(asked())).done({ kind: 'unused' });
    await expect.poll(() => inFlight()).toBe(0);
    const before = await scriptCalls();
    const models = ['m', 'm', 'other', 'third'];
    const permits = await Promise.all(Array.from({ length: 40 }, (_, n) => pacer.acquire(asked({ model: models[n % 4] ?? 'm' }))));
    expect(await scriptCalls()).toBe(before + 1);
    expect(await inFlight()).toBe(20);
    for (const permit of permits) permit.done({ kind: 'ok' });
    await expect.poll(() => inFlight()).toBe(0);
    expect(await scriptCalls()).toBe(before + 2);
  });

  it('hears the first word of a permit alone, and one that is said after its end is harmless', async () => {
    const pacer = processPacer();
    const permit = await pacer.acquire(asked());
    permit.done({ kind: 'ok' });
    permit.done({ kind: 'limited', retryAfterMs: 60_000 });
    await expect.poll(() => inFlight()).toBe(0);
    (await pacer.acquire(asked({ maxWaitMs: 100 }))).done({ kind: 'unused' });
    pacer.close();
    permit.done({ kind: 'ok' });
  });
});

describe('a pause', () => {
  it('after a 429 is obeyed by every process, and each call is told when to come back', async () => {
    const [one, other] = [processPacer(), processPacer()];
    (await one.acquire(asked())).done({ kind: 'limited', retryAfterMs: 30_000 });
    await expect.poll(async () => Number(await redis.hget('fana:pace:openai:m', 'pause'))).toBeGreaterThan(0);
    for (const pacer of [one, other]) {
      const error = await failure(pacer.acquire(asked()));
      expect(error).toMatchObject({ code: 'provider_paused', provider: undefined, cause: { code: 'provider_rate_limited' } });
      expect(error.retryAfterMs).toBeGreaterThan(29_000);
      expect(error.retryAfterMs).toBeLessThan(36_100);
    }
    // Another model of the same account goes on.
    (await other.acquire(asked({ model: 'other' }))).done({ kind: 'ok' });
  });

  it('that ends soon enough is waited out', async () => {
    const pacer = processPacer();
    const from = performance.now();
    (await pacer.acquire(asked())).done({ kind: 'limited', retryAfterMs: 400 });
    await sleep(50);
    await pacer.acquire(asked());
    expect(performance.now() - from).toBeGreaterThanOrEqual(400);
  });

  it('after a 529 is kept apart from that of a 429, and names itself', async () => {
    const pacer = processPacer();
    (await pacer.acquire(asked())).done({ kind: 'overloaded', retryAfterMs: 20_000 });
    await sleep(50);
    expect(await failure(pacer.acquire(asked()))).toMatchObject({ code: 'provider_paused', cause: { code: 'provider_overloaded' } });
    expect(await redis.hmget('fana:pace:openai:m', 'pause', 'limit')).toEqual([null, null]);
  });

  it('is begun by a reply that says that nothing remains', async () => {
    const pacer = processPacer();
    const headers = new Headers({ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '20s' });
    (await pacer.acquire(asked())).done({ kind: 'ok', headers });
    await sleep(50);
    const error = await failure(pacer.acquire(asked()));
    expect(error.retryAfterMs).toBeGreaterThan(19_000);
  });

  it('sends those who come back to it one after another, not all at once', async () => {
    const pacer = processPacer();
    (await pacer.acquire(asked())).done({ kind: 'limited', retryAfterMs: 10_000 });
    await sleep(50);
    const errors = await Promise.all(Array.from({ length: 50 }, () => failure(pacer.acquire(asked({ maxWaitMs: 1000 })))));
    const waits = errors.map(({ retryAfterMs = 0 }) => retryAfterMs);
    expect(new Set(waits).size).toBeGreaterThan(40);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(400);
  });
});

describe('waiting', () => {
  const paused = async (): Promise<Pacer> => {
    const pacer = processPacer();
    (await pacer.acquire(asked())).done({ kind: 'limited', retryAfterMs: 3000 });
    await sleep(50);
    return pacer;
  };

  it('ends at once with its signal', async () => {
    const pacer = await paused();
    const controller = new AbortController();
    const waiting = failure(pacer.acquire(asked({ signal: controller.signal })));
    await sleep(50);
    const from = performance.now();
    controller.abort();
    expect(await waiting).toMatchObject({ code: 'cancelled', provider: undefined });
    expect(performance.now() - from).toBeLessThan(500);
    expect(await failure(pacer.acquire(asked({ signal: controller.signal })))).toMatchObject({ code: 'cancelled' });
  });

  it('ends with the process', async () => {
    const pacer = await paused();
    const waiting = failure(pacer.acquire(asked()));
    pacer.close();
    expect(await waiting).toMatchObject({ code: 'cancelled' });
    expect(await failure(pacer.acquire(asked()))).toMatchObject({ code: 'cancelled' });
  });

  it('ends with its signal while Redis does not answer, and goes on when it does', async () => {
    const pacer = processPacer();
    (await pacer.acquire(asked())).done({ kind: 'ok' });
    server.pause();
    try {
      const controller = new AbortController();
      const stopped = failure(pacer.acquire(asked({ signal: controller.signal })));
      const kept = pacer.acquire(asked());
      await sleep(100);
      controller.abort();
      expect(await stopped).toMatchObject({ code: 'cancelled' });
      server.resume();
      (await kept).done({ kind: 'ok' });
    } finally {
      server.resume();
    }
    // The call that was let go for nobody is not in flight.
    await expect.poll(() => inFlight()).toBe(0);
  });

  it('fails when Redis takes no writes, and what was to be reported is reported later', async () => {
    const pacer = processPacer();
    const permit = await pacer.acquire(asked());
    await redis.config('SET', 'maxmemory', '1');
    permit.done({ kind: 'limited', retryAfterMs: 20_000 });
    expect(await failure(pacer.acquire(asked()))).toMatchObject({ code: 'unavailable' });
    await redis.config('SET', 'maxmemory', '0');
    await expect.poll(async () => Number(await redis.hget('fana:pace:openai:m', 'pause')), { timeout: 5000 }).toBeGreaterThan(Date.now() + 15_000);
  });
});

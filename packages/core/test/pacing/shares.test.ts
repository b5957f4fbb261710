import { connectConsumer } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

const many = (count: number): number[] => Array.from({ length: count }, () => 0);

describe('what is kept for interactive calls', () => {
  it('of a meter is nothing while none comes, and 30 % for a minute after one did', async () => {
    const { look } = freshLane(redis);
    const limits = { imagesPerMinute: 600 };
    const perMinute = async (fromMs: number, interactiveEveryMs: number): Promise<{ batch: number; interactive: number }> => {
      const granted = { batch: 0, interactive: 0 };
      for (let atMs = 0; atMs < 60_000; atMs += 50) {
        const asks = interactiveEveryMs > 0 && atMs % interactiveEveryMs === 0;
        const view = await look(fromMs + atMs, { limits, wanted: { batch: pictures(50), interactive: asks ? [1] : [] } });
        granted.batch += view.granted.batch;
        granted.interactive += view.granted.interactive;
      }
      return granted;
    };
    const alone = await perMinute(0, 0);
    expect(alone.batch).toBeGreaterThanOrEqual(560);
    const beside = await perMinute(60_000, 10_000);
    expect(beside.interactive).toBe(6);
    expect(beside.batch).toBeGreaterThanOrEqual(0.65 * 600);
    expect(beside.batch).toBeLessThanOrEqual(0.7 * 600);
    // The last one came 10 s before the end of that minute.
    await perMinute(120_000, 0);
    const again = await perMinute(180_000, 0);
    expect(again.batch).toBeGreaterThanOrEqual(560);
  });

  it('lets an interactive call pass at once beside a batch that takes all there is, up to the interactive share', async () => {
    const { look } = freshLane(redis);
    const limits = { imagesPerMinute: 600 };
    let waited = 0;
    for (let atMs = 0; atMs < 30_000; atMs += 50) {
      const asks = atMs % 500 === 0;
      // Interactive calls first, though the batch has waited for longer.
      const view = await look(atMs, { limits, wanted: { batch: pictures(50), interactive: asks ? [1] : [] } });
      if (asks && view.granted.interactive === 0) waited += 1;
    }
    expect(waited).toBe(0);
  });

  it('of a learned limit is there at once, also while a batch holds all of it', async () => {
    const { look } = freshLane(redis);
    await look(0, { own: { batch: 100 }, report: { limited: 0 } });
    // 0.7 of what was in flight: 70, and the limit is back 2 s after the pause.
    await look(10, { own: { batch: 99 }, report: { limited: 1, limitedGranted: 1_800_000_000_005, limitedMs: 1000 } });
    const late = 5000;
    expect((await look(late, { own: { batch: 0 }, wanted: { batch: many(200) } })).granted.batch).toBe(70);
    const beside = await look(late + 1, { own: { batch: 70 }, wanted: { interactive: many(50), batch: many(10) } });
    expect(beside.granted).toEqual({ interactive: 21, batch: 0 });
    // Once they are there, the batch has 0.7 of it: 49.
    const settled = await look(late + 2, { own: { interactive: 5, batch: 40 }, wanted: { batch: many(100) } });
    expect(settled.granted.batch).toBe(9);
  });

  it('of the calls in flight is all before any 429: only the batch starts slowly', async () => {
    const { look } = freshLane(redis);
    const view = await look(0, { wanted: { interactive: many(200), batch: many(200) } });
    expect(view.granted).toEqual({ interactive: 200, batch: Math.floor(0.7 * 32) });
    expect(view.wait).toMatchObject({ interactive: undefined, batch: { why: 'full' } });
  });
});

describe('the limit of calls in flight', () => {
  const limitOf = async (key: string): Promise<number> => Number(await redis.hget(key, 'limit'));

  it('starts at 32 for batches and gains one a success, as long as it holds somebody up', async () => {
    const { key, look, at } = freshLane(redis);
    expect((await look(0, { wanted: { batch: many(100) } })).granted.batch).toBe(32);
    expect((await look(100, { own: { batch: 0 }, report: { succeeded: 32, succeededGranted: at(0) }, wanted: { batch: many(100) } })).granted.batch).toBe(64);
    // Nobody was held up for a while: what succeeds proves nothing.
    await look(10_000, { own: { batch: 0 }, report: { succeeded: 64, succeededGranted: at(100) } });
    expect(await limitOf(key)).toBe(64);
  });

  it('never grows beyond 1,000', async () => {
    const { key, look, at } = freshLane(redis);
    await look(0, { own: { batch: 32 }, wanted: { batch: many(1) } });
    await look(1, { own: { batch: 0 }, report: { succeeded: 5000, succeededGranted: at(0) } });
    expect(await limitOf(key)).toBe(1000);
  });

  it('is cut to 0.7 of what was in flight by the first 429, by 0.7 a round after it, and gains one each round of successes', async () => {
    const { key, look, at } = freshLane(redis);
    await look(0, { own: { batch: 100 } });
    // Ten of a hundred, all let go before the first of them was answered: one cut.
    await look(100, { own: { batch: 97 }, report: { limited: 3, limitedGranted: at(0), limitedMs: 500 } });
    expect(await limitOf(key)).toBe(70);
    await look(150, { own: { batch: 90 }, report: { limited: 7, limitedGranted: at(50), limitedMs: 500 } });
    expect(await limitOf(key)).toBe(70);
    // Let go after the cut: the next.
    await look(3000, { own: { batch: 69 }, report: { limited: 1, limitedGranted: at(2900), limitedMs: 500 } });
    expect(await limitOf(key)).toBeCloseTo(49, 2);
    const curve: number[] = [];
    let now = 6000;
    for (let round = 0; round < 5; round++) {
      const view = await look(now, { own: { batch: 0 }, wanted: { batch: many(200) } });
      now += 100;
      for (let n = 0; n < view.granted.batch; n++) {
        await look(now, { own: { batch: view.granted.batch - n - 1 }, report: { succeeded: 1, succeededGranted: at(now - 100) } });
      }
      curve.push(await limitOf(key));
    }
    for (const [at_, limit] of curve.entries()) expect(limit).toBeCloseTo(50 + at_, 0);
    // It is never cut below one.
    for (let n = 0; n < 20; n++) await look(20_000 + n * 10, { report: { limited: 1, limitedGranted: at(20_000 + n * 10 - 1), limitedMs: 1 } });
    expect(await limitOf(key)).toBe(1);
  });

  it('is searched for twice as fast each minute without a 429, but never faster than at first', async () => {
    const { key, look, at } = freshLane(redis);
    await look(0, { own: { batch: 100 } });
    await look(100, { own: { batch: 99 }, report: { limited: 1, limitedGranted: at(0), limitedMs: 500 } });
    const gain = async (ms: number, succeeded: number): Promise<number> => {
      await look(ms, { own: { batch: 200 }, wanted: { batch: many(1) } });
      const before = await limitOf(key);
      await look(ms + 1, { own: { batch: 200 - succeeded }, report: { succeeded, succeededGranted: at(ms) } });
      return (await limitOf(key)) - before;
    };
    expect(await gain(50_000, 70)).toBeCloseTo(1, 2);
    expect(await gain(70_000, 71)).toBeCloseTo(2, 2);
    expect(await gain(190_000, 73)).toBeCloseTo(8, 2);
    for (let minute = 4; minute < 12; minute++) await gain(minute * 60_000, 1);
    expect(await gain(720_000, 50)).toBeCloseTo(50, 2);
  });

  it('holds interactive calls too once it was learned, and comes back smoothly after a pause', async () => {
    const { look, at } = freshLane(redis);
    await look(0, { own: { interactive: 100 } });
    await look(100, { own: { interactive: 99 }, report: { limited: 1, limitedGranted: at(0), limitedMs: 1000 } });
    const during = await look(200, { wanted: { interactive: many(200) } });
    expect([during.granted.interactive, during.wait.interactive]).toEqual([0, { why: 'limited', ms: 900 }]);
    const granted: number[] = [];
    for (const ms of [1110, 1600, 2100, 3100, 4000]) granted.push((await look(ms, { wanted: { interactive: many(200) } })).granted.interactive);
    expect(granted).toEqual([1, 17, 35, 70, 70]);
  });

  it('is not touched by a 529, which pauses and comes back smoothly all the same', async () => {
    const { key, look, at } = freshLane(redis);
    await look(0, { own: { interactive: 100 }, report: { overloaded: 1, overloadedGranted: at(-100), overloadedMs: 1000 } });
    expect((await look(500, { wanted: { interactive: many(9) } })).wait.interactive).toEqual({ why: 'overloaded', ms: 500 });
    expect(await redis.hmget(key, 'limit', 'learned', 'pause')).toEqual([null, null, null]);
    expect((await look(2000, { wanted: { interactive: many(200) } })).granted.interactive).toBeLessThanOrEqual(20);
    expect((await look(3100, { wanted: { interactive: many(200) } })).granted.interactive).toBe(200);
  });
});

describe('a pause whose length nobody said', () => {
  it('doubles with each one in a row up to a minute, and is short again after a success', async () => {
    const { look, at } = freshLane(redis);
    const lengths: number[] = [];
    let now = 1000;
    const pause = async (): Promise<number> => {
      const view = await look(now, { report: { limited: 1, limitedGranted: at(now - 1) }, wanted: { interactive: [0] } });
      const ms = view.wait.interactive?.ms ?? 0;
      now += ms + 10;
      return ms;
    };
    for (let n = 0; n < 8; n++) lengths.push(await pause());
    expect(lengths).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    await look(now, { report: { succeeded: 1, succeededGranted: at(now - 1) } });
    now += 10;
    expect(await pause()).toBe(1000);
  });
});

describe('calls in flight', () => {
  it('of a process that was not seen for 10 s are forgotten; one that is seen keeps them', async () => {
    const { look, at } = freshLane(redis);
    await look(0, { own: { batch: 20 } }, 'dead');
    await look(0, { own: { batch: 10 } }, 'alive');
    const wanted = { batch: many(100) };
    expect((await look(1000, { wanted }, 'one')).granted.batch).toBe(2);
    await look(9000, { own: { batch: 10 } }, 'alive');
    // 32, less ten of the living one, less those two of our own that we say have ended.
    expect((await look(10_001, { wanted }, 'one')).granted.batch).toBe(22);
    expect(at(0)).toBe(1_800_000_000_000);
  });

  it('are what the process says, whatever it said before: nothing drifts', async () => {
    const { key, look } = freshLane(redis);
    for (let n = 0; n < 5; n++) await look(n, { wanted: { interactive: many(7) } });
    await look(100, { own: { interactive: 3 } });
    expect((await redis.hget(key, 'p:one'))?.startsWith('3 0 ')).toBe(true);
    await look(101);
    expect(await redis.hget(key, 'p:one')).toBeNull();
  });
});

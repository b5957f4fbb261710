import type { Redis } from 'ioredis';
import { describe, expect, test, vi } from 'vitest';
import { assertUsable, connectConsumer, connectProducer, connectSubscriber, loadScript } from './redis.ts';

const NOBODY = 'redis://127.0.0.1:1';

/** Opens a connection that nobody answers, looks at it, and closes it. */
const optionsOf = (connect: (url: string) => Redis): Redis['options'] => {
  const redis = connect(NOBODY);
  redis.on('error', () => undefined);
  redis.disconnect();
  return redis.options;
};

describe('connections', () => {
  test('of producers fail within a second and keep nothing for later', () => {
    expect(optionsOf(connectProducer)).toMatchObject({ commandTimeout: 1000, maxRetriesPerRequest: 0, enableOfflineQueue: false });
  });

  test('of consumers and subscribers wait as long as it takes (BullMQ demands it)', () => {
    expect(optionsOf(connectConsumer)).toMatchObject({ maxRetriesPerRequest: null, enableOfflineQueue: true });
    expect(optionsOf(connectSubscriber)).toMatchObject({ maxRetriesPerRequest: null, autoResubscribe: true });
    expect(optionsOf(connectConsumer).commandTimeout).toBeUndefined();
  });

  test('try again for ever, at least once a second', () => {
    const { retryStrategy } = optionsOf(connectProducer);
    for (const times of [1, 2, 10, 1000, 10 ** 6]) {
      const waitMs = retryStrategy?.(times);
      expect(waitMs).toBeGreaterThan(0);
      expect(waitMs).toBeLessThanOrEqual(1600);
    }
  });
});

describe('assertUsable', () => {
  const redisThat = (parts: Partial<Record<keyof Redis, unknown>>): Redis => parts as unknown as Redis;

  test('refuses a Redis Cluster in one clear line, and takes a single primary', async () => {
    const answering = (info: string) => redisThat({ status: 'ready', info: async () => info });
    await expect(assertUsable(answering('# Cluster\r\ncluster_enabled:1\r\n'))).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/Cluster/),
    });
    await assertUsable(answering('# Cluster\r\ncluster_enabled:0\r\n'));
  });

  test('gives up when Redis does not come', async () => {
    const silent = redisThat({ status: 'connecting', once: vi.fn() });
    await expect(assertUsable(silent, 20)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('scripts', () => {
  const script = loadScript(import.meta.url, './webhooks/record-delivery.lua');

  test('are sent by their hash, and by their text only when Redis does not know them', async () => {
    const evalsha = vi.fn(async () => 'by hash');
    const evaluate = vi.fn(async (_text: string, ..._rest: unknown[]) => 'by text');
    const redis = { evalsha, eval: evaluate } as unknown as Redis;
    expect(await script(redis, ['k1', 'k2'], ['a', 1])).toBe('by hash');
    expect(evalsha).toHaveBeenCalledWith(expect.stringMatching(/^[0-9a-f]{40}$/), 2, 'k1', 'k2', 'a', 1);
    expect(evaluate).not.toHaveBeenCalled();
    evalsha.mockRejectedValueOnce(new Error('NOSCRIPT No matching script. Please use EVAL.'));
    expect(await script(redis, ['k1'], [])).toBe('by text');
    expect(evaluate.mock.calls[0]?.[0]).toContain('delivery');
  });

  test('pass every other failure on', async () => {
    const redis = { evalsha: vi.fn(async () => Promise.reject(new Error('READONLY'))), eval: vi.fn() } as unknown as Redis;
    await expect(script(redis, [], [])).rejects.toThrow('READONLY');
    expect(redis.eval).not.toHaveBeenCalled();
  });

  test('have the text of what they include in its place, however deep the folders', async () => {
    const evaluate = vi.fn(async (_text: string, ..._rest: unknown[]) => 'by text');
    const redis = { evalsha: async () => Promise.reject(new Error('NOSCRIPT')), eval: evaluate } as unknown as Redis;
    await loadScript(import.meta.url, './jobs/finish.lua')(redis, [], []);
    const text = evaluate.mock.calls[0]?.[0] ?? '';
    expect(text).not.toMatch(/^-- @include/m);
    expect(text.match(/^local function write_deliveries/gm)).toHaveLength(1);
    expect(text.indexOf('local function write_deliveries')).toBeLessThan(text.indexOf('= write_deliveries('));
  });

  test('that are missing are noticed when the process starts', () => {
    expect(() => loadScript(import.meta.url, './no-such.lua')).toThrow(/ENOENT/);
  });
});

import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { startRedis } from './redis.ts';

const command = async (url: string, run: (redis: Redis) => Promise<unknown>): Promise<unknown> => {
  const redis = new Redis(url, { retryStrategy: null, commandTimeout: 300 });
  redis.on('error', () => undefined);
  try {
    return await run(redis);
  } finally {
    redis.disconnect();
  }
};

test('keeps what was written over a kill when it appends, answers nothing while paused, and leaves nothing behind', async () => {
  const server = await startRedis({ appendOnly: true });
  await command(server.url, (redis) => redis.set('a', '1'));
  const folder = (await command(server.url, (redis) => redis.config('GET', 'dir'))) as string[];
  await server.kill();
  await expect(command(server.url, (redis) => redis.get('a'))).rejects.toThrow();
  await server.restart();
  expect(await command(server.url, (redis) => redis.get('a'))).toBe('1');
  server.pause();
  await expect(command(server.url, (redis) => redis.get('a'))).rejects.toThrow();
  server.resume();
  expect(await command(server.url, (redis) => redis.get('a'))).toBe('1');
  await server.stop();
  await server.stop();
  await expect(command(server.url, (redis) => redis.get('a'))).rejects.toThrow();
  expect(existsSync(folder[1] ?? '')).toBe(false);
});

test('servers started at once do not meet', async () => {
  const servers = await Promise.all([startRedis(), startRedis(), startRedis()]);
  expect(new Set(servers.map(({ port }) => port)).size).toBe(3);
  await Promise.all(servers.map((server) => server.stop()));
});

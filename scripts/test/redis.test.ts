import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findRedisServer, redisAdvice } from '../redis.mjs';

const folder = mkdtempSync(join(tmpdir(), 'fana-path-'));
afterAll(() => rmSync(folder, { recursive: true }));

const place = (name: string, server: string, mode = 0o755): string => {
  const path = join(folder, name, server);
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(path, '');
  chmodSync(path, mode);
  return path;
};

describe('the Redis server', () => {
  it('is the redis-server or the valkey-server on PATH', () => {
    const redis = place('redis', 'redis-server');
    const valkey = place('valkey', 'valkey-server');
    expect(findRedisServer({ PATH: join(folder, 'valkey') })).toBe(valkey);
    expect(findRedisServer({ PATH: `${join(folder, 'none')}:${join(folder, 'valkey')}:${join(folder, 'redis')}` })).toBe(redis);
  });

  it('is not a file that cannot be run, nor one of an empty PATH', () => {
    place('plain', 'redis-server', 0o644);
    expect(findRedisServer({ PATH: join(folder, 'plain') })).toBeUndefined();
    expect(findRedisServer({})).toBeUndefined();
  });
});

describe('the advice when there is none', () => {
  it.each([
    ['darwin', '', 'brew install redis'],
    ['linux', 'id=ubuntu\nid_like=debian', 'apt-get install redis-server'],
    ['linux', 'id=linuxmint\nid_like="ubuntu debian"', 'apt-get install redis-server'],
    ['linux', 'id=alpine', 'apk add redis'],
    ['linux', 'id="rocky"\nid_like="rhel centos fedora"', 'dnf install valkey'],
  ])('is one line that says how to install it on %s %s', (platform, system, command) => {
    const advice = redisAdvice(platform, system);
    expect(advice).toContain(command);
    expect(advice.split('\n')).toHaveLength(1);
  });

  it('names REDIS_URL on a system nobody knows', () => {
    expect(redisAdvice('linux', 'id=other')).toBe('No redis-server or valkey-server was found. Install one or set REDIS_URL.');
  });
});

import type { Redis } from 'ioredis';
import type { BlobStore } from '../src/blobs/blob.ts';
import { type Config, loadConfig } from '../src/config.ts';
import type { Deps } from '../src/deps.ts';
import { AppError } from '../src/errors.ts';

/** For unit tests: a config with nothing but secrets in it. */
const testConfig = (settings: Record<string, string> = {}): Config =>
  loadConfig({ REDIS_URL: 'redis://127.0.0.1:1', FANA_ADMIN_KEY: 'a'.repeat(40), FANA_SIGNING_SECRET: 's'.repeat(40), ...settings });

type MemoryDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'> & { lines: Map<string, string>; files: Map<string, Buffer>; clock: { ms: number } };

/** For unit tests: blobs and the few string commands of Redis in memory. `clock` is what `now` reads. */
export const memoryDeps = ({ allowPrivateNetwork = true } = {}): MemoryDeps => {
  const lines = new Map<string, string>();
  const files = new Map<string, Buffer>();
  const clock = { ms: Date.UTC(2026, 0, 1) };
  const set = (key: string, value: string, mode?: 'NX'): void => {
    if (mode !== 'NX' || !lines.has(key)) lines.set(key, value);
  };
  const pipeline = () => {
    const chain = {
      set: (key: string, value: string) => {
        set(key, value);
        return chain;
      },
      del: (keys: string | string[]) => {
        for (const key of [keys].flat()) lines.delete(key);
        return chain;
      },
      zadd: () => chain,
      zrem: () => chain,
      hdel: () => chain,
      exec: async () => [],
    };
    return chain;
  };
  const redis = { pipeline, get: async (key: string) => lines.get(key) ?? null, set: async (key: string, value: string, mode?: 'NX') => set(key, value, mode) };
  const blobs: Pick<BlobStore, 'put' | 'read' | 'remove'> = {
    put: async (id, bytes) => void files.set(id, bytes),
    remove: async (id) => void files.delete(id),
    read: async (id) => {
      const bytes = files.get(id);
      if (!bytes) throw new AppError('not_found', 'The bytes of this blob are gone.');
      return bytes;
    },
  };
  const config = testConfig({ FANA_ALLOW_PRIVATE_NETWORK: String(allowPrivateNetwork) });
  // Only what the functions under test call is there; anything else fails loudly.
  return { redis: redis as unknown as Redis, blobs: blobs as BlobStore, config, now: () => clock.ms, lines, files, clock };
};

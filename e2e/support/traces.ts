import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Installation } from './installation.ts';

/** What is looked for: texts as they are and as JSON writes them, ids, and the bytes of pictures. */
export type Marks = { texts: string[]; ids?: string[]; bytes?: Buffer[] };

const bytesOf = (value: unknown): Buffer => (Array.isArray(value) ? Buffer.concat(value.map(bytesOf)) : Buffer.isBuffer(value) ? value : Buffer.alloc(0));

/** What a key holds, whatever type it has. @throws for a type that is not known here. */
const everythingIn = async (redis: Redis, key: string): Promise<Buffer> => {
  const read: Record<string, () => Promise<unknown>> = {
    hash: async () => Object.entries(await redis.hgetallBuffer(key)).map(([field, value]) => [Buffer.from(field), value]),
    string: () => redis.getBuffer(key),
    stream: () => redis.xrangeBuffer(key, '-', '+'),
    zset: () => redis.zrangeBuffer(key, 0, '-1'),
    list: () => redis.lrangeBuffer(key, 0, -1),
    set: () => redis.smembersBuffer(key),
    none: async () => [],
  };
  const type = await redis.type(key);
  const reader = read[type];
  if (!reader) throw new Error(`${key} is a ${type}`);
  return bytesOf(await reader());
};

/** A file that goes while it is looked at holds nothing. */
const readIfThere = async (path: string): Promise<Buffer> => {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
};

/** Every key of Redis and every file of an installation that holds one of the marks, with the first it holds. */
export const findTraces = async (fana: Installation, { texts, ids = [], bytes = [] }: Marks): Promise<string[]> => {
  const words = [...texts, ...texts.map((text) => JSON.stringify(text).slice(1, -1))].map((text) => Buffer.from(text));
  const names = ids.map((id) => Buffer.from(id));
  const redis = new Redis(fana.redis.url);
  const places: string[] = [];
  try {
    for (const key of await redis.keys('*')) {
      // The last events of a queue are ids and nothing else: they may stay.
      const marks = key.startsWith('fana:bull:') ? words : [...words, ...names];
      const value = Buffer.concat([Buffer.from(key), await everythingIn(redis, key)]);
      const mark = marks.find((one) => value.includes(one));
      if (mark) places.push(`${key}: ${mark}`);
    }
  } finally {
    redis.disconnect();
  }
  for (const entry of await readdir(fana.dataDir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const content = Buffer.concat([Buffer.from(entry.name), await readIfThere(join(entry.parentPath, entry.name))]);
    const mark = [...words, ...names, ...bytes].find((one) => content.includes(one));
    if (mark) places.push(`${entry.name}: ${mark.subarray(0, 60)}`);
  }
  return places;
};

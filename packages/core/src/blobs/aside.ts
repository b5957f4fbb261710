import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { execute } from '../redis.ts';
import type { BlobRecord, BlobStore } from './blob.ts';
import { createLocalBlobs, listLocalBlobs } from './local.ts';
import { ASIDE, findBlob, forgetBlob, keepBlob } from './store.ts';

/**
 * What was paid for while the blob store took nothing: kept in a folder of this machine, until the store takes it (`moveAside`). The hash
 * `fana:aside` tells every process which blobs are not in the store yet.
 */
export type AsideFolder = Pick<BlobStore, 'put' | 'read' | 'remove'> & { list: () => Promise<string[]> };

/** The folder of this machine; it is made when something is kept. */
export const createAsideFolder = ({ dataDir }: Pick<Config, 'dataDir'>): AsideFolder => {
  const root = join(dataDir, 'aside');
  return { ...createLocalBlobs(root), list: () => listLocalBlobs(root) };
};

type AsideDeps = Pick<Deps, 'redis' | 'blobs' | 'aside' | 'now'>;

const notStoredYet = (): AppError => new AppError('storage_error', 'These bytes are kept aside until the blob store takes them.', { retryAfterMs: 5000 });

/** A store whose missing blobs are told from those that are kept aside: the first are gone, the others will be there. */
export const withAside = (store: BlobStore, redis: Deps['redis']): BlobStore => {
  const orNotYet = async <T>(id: string, read: Promise<T>): Promise<T> => {
    try {
      return await read;
    } catch (thrown) {
      if (!(thrown instanceof AppError) || thrown.code !== 'not_found' || (await redis.hexists(ASIDE, id)) === 0) throw thrown;
      throw notStoredYet();
    }
  };
  return { ...store, read: (id) => orNotYet(id, store.read(id)), stream: (id, range) => orNotYet(id, store.stream(id, range)) };
};

/**
 * Keeps the bytes of a blob on this machine, fsynced. Its record comes first, so that bytes without one are known to be nobody's any more.
 * Safe to repeat. @throws AppError `storage_error` (nothing is left behind), `unavailable`.
 */
export const keepAside = async (deps: AsideDeps, record: BlobRecord, bytes: Buffer): Promise<void> => {
  await execute(keepBlob(deps.redis.multi(), record).hset(ASIDE, record.id, deps.now()));
  try {
    await deps.aside.put(record.id, bytes, record.mediaType);
  } catch (error) {
    await forgetBlob(deps, record.id);
    throw error;
  }
};

/** Puts a blob that is kept on this machine into the store. @throws AppError `storage_error`, `unavailable`: it stays where it is. */
const moveAside = async (deps: AsideDeps, id: string): Promise<void> => {
  // Without a record it was erased or has expired meanwhile.
  const record = await findBlob(deps, id);
  try {
    if (record) await deps.blobs.put(id, await deps.aside.read(id), record.mediaType);
  } catch (thrown) {
    // Another process of this machine was faster.
    if (!(thrown instanceof AppError) || thrown.code !== 'not_found') throw thrown;
  }
  await deps.redis.hdel(ASIDE, id);
  await deps.aside.remove(id);
};

/** Moves everything this machine keeps; the first that the store does not take ends it. @throws as `moveAside`. */
export const moveAllAside = async (deps: AsideDeps): Promise<number> => {
  const ids = await deps.aside.list();
  for (const id of ids) await moveAside(deps, id);
  return ids.length;
};

/** Those of these blobs that are not in the store yet. */
export const stillAside = async (deps: Pick<Deps, 'redis'>, ids: string[]): Promise<string[]> => {
  if (ids.length === 0) return [];
  const since = await deps.redis.hmget(ASIDE, ...ids);
  return ids.filter((_, at) => since[at] !== null);
};

/**
 * For those who are about to pay for something: while this machine keeps anything aside, the store must be there.
 * @throws AppError `storage_error`
 */
export const refuseWhileAway = async (deps: Pick<Deps, 'blobs' | 'aside'>): Promise<void> => {
  if ((await deps.aside.list()).length > 0) await deps.blobs.check();
};

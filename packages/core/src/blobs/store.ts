import { createHash } from 'node:crypto';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { execute } from '../redis.ts';
import type { BlobRecord } from './blob.ts';

const blobKey = (id: string): string => `fana:blob:${id}`;
/** Zset of every blob; score: unix ms of expiry. */
export const BLOB_EXPIRY = 'fana:blobs';

export type NewBlob = { tenant: string; bytes: Buffer; mediaType: string; width?: number; height?: number };

/**
 * Stores bytes: the record with its expiry first, then the bytes, so that a crash between leaves nothing that is never cleaned.
 * @throws AppError `storage_error` (nothing is left behind) or `unavailable`.
 */
export const saveBlob = async (deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>, blob: NewBlob): Promise<BlobRecord> => {
  const { tenant, bytes, mediaType, width, height } = blob;
  const createdMs = deps.now();
  const record: BlobRecord = {
    id: newId('blob'),
    tenant,
    mediaType,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    createdMs,
    expiresMs: createdMs + deps.config.blobs.ttlSeconds * 1000,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
  };
  await execute(deps.redis.pipeline().zadd(BLOB_EXPIRY, record.expiresMs, record.id).set(blobKey(record.id), JSON.stringify(record)));
  try {
    await deps.blobs.put(record.id, bytes, mediaType);
  } catch (error) {
    await execute(deps.redis.pipeline().del(blobKey(record.id)).zrem(BLOB_EXPIRY, record.id));
    throw error;
  }
  return record;
};

/** The record of a blob, if it exists, has not expired and belongs to `tenant` (undefined = whoever holds a signed URL). */
export const findBlob = async (deps: Pick<Deps, 'redis' | 'now'>, id: string, tenant?: string): Promise<BlobRecord | undefined> => {
  const line = await deps.redis.get(blobKey(id));
  if (line === null) return undefined;
  const record: BlobRecord = JSON.parse(line);
  if (record.expiresMs <= deps.now()) return undefined;
  return tenant === undefined || record.tenant === tenant ? record : undefined;
};

/** The bytes of a blob of this tenant. @throws AppError `not_found`, `storage_error`. */
export const readBlob = async (deps: Pick<Deps, 'redis' | 'blobs' | 'now'>, id: string, tenant: string): Promise<{ record: BlobRecord; bytes: Buffer }> => {
  const record = await findBlob(deps, id, tenant);
  if (!record) throw new AppError('not_found', `There is no blob ${id}.`);
  return { record, bytes: await deps.blobs.read(id) };
};

/** Removes bytes first, then records: what fails in between is found again at its expiry. */
export const removeBlobs = async (deps: Pick<Deps, 'redis' | 'blobs'>, ids: string[]): Promise<void> => {
  if (ids.length === 0) return;
  await Promise.all(ids.map((id) => deps.blobs.remove(id)));
  await execute(deps.redis.pipeline().del(ids.map(blobKey)).zrem(BLOB_EXPIRY, ids));
};

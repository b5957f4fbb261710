import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { ChainableCommander } from 'ioredis';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { execute } from '../redis.ts';
import type { BlobRecord, ByteRange } from './blob.ts';

const blobKey = (id: string): string => `fana:blob:${id}`;
/** Zset of every blob; score: unix ms of expiry. */
export const BLOB_EXPIRY = 'fana:blobs';

/** Hash of the blobs that some machine keeps aside (aside.ts); value: unix ms since when. */
export const ASIDE = 'fana:aside';

/** How long the bytes of a stream may take to come: what a writer that died has left is removed after this. */
export const STREAM_MAX_MS = 6 * 3_600_000;

/** Adds to `chain` what makes a blob known until its expiry. */
export const keepBlob = (chain: ChainableCommander, record: BlobRecord): ChainableCommander =>
  chain.zadd(BLOB_EXPIRY, record.expiresMs, record.id).set(blobKey(record.id), JSON.stringify(record));

export type NewBlob = {
  tenant: string;
  bytes: Buffer;
  mediaType: string;
  width?: number;
  height?: number;
  /** Default: FANA_BLOB_TTL_SECONDS from now. */
  expiresMs?: number;
};

/** What is to be known of bytes that are not stored yet; their id is new. */
export const newBlobRecord = (deps: Pick<Deps, 'config' | 'now'>, blob: NewBlob): BlobRecord => {
  const { tenant, bytes, mediaType, width, height } = blob;
  const createdMs = deps.now();
  return {
    id: newId('blob'),
    tenant,
    mediaType,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    createdMs,
    expiresMs: blob.expiresMs ?? createdMs + deps.config.blobs.ttlSeconds * 1000,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
  };
};

/**
 * Stores bytes: the record with its expiry first, then the bytes, so that a crash between leaves nothing that is never cleaned.
 * @throws AppError `storage_error` (nothing is left behind) or `unavailable`.
 */
export const saveBlob = async (deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>, blob: NewBlob): Promise<BlobRecord> => {
  const record = newBlobRecord(deps, blob);
  await execute(keepBlob(deps.redis.pipeline(), record));
  try {
    await deps.blobs.put(record.id, blob.bytes, blob.mediaType);
  } catch (error) {
    await forgetBlob(deps, record.id);
    throw error;
  }
  return record;
};

export type NewBlobStream = {
  tenant: string;
  source: AsyncIterable<Uint8Array>;
  mediaType: string;
  /** Default: FANA_BLOB_TTL_SECONDS from now. */
  expiresMs?: number | undefined;
  /** Default: a new one. Bytes that are under it already are replaced when the new ones are whole. */
  id?: string | undefined;
};

/**
 * As `saveBlob`, of bytes that come piece by piece: an expiry first, then the bytes, then the record with their number and hash, so a blob
 * is not found before it is whole. @throws AppError `storage_error`, `unavailable`, and what `source` throws; only after `unavailable` may
 * bytes be left, until STREAM_MAX_MS.
 */
export const saveBlobStream = async (deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>, blob: NewBlobStream): Promise<BlobRecord> => {
  const { tenant, source, mediaType, id = newId('blob') } = blob;
  const createdMs = deps.now();
  const expiresMs = blob.expiresMs ?? createdMs + deps.config.blobs.ttlSeconds * 1000;
  // NX: the expiry of bytes that are to be replaced holds until they are.
  const isNew = (await deps.redis.zadd(BLOB_EXPIRY, 'NX', createdMs + STREAM_MAX_MS, id)) === 1;
  let written: { bytes: number; sha256: string };
  try {
    written = await deps.blobs.write(id, source, mediaType);
  } catch (error) {
    // What is told is the first failure; an expiry of nothing is no harm.
    if (isNew) await deps.redis.zrem(BLOB_EXPIRY, id).catch(() => undefined);
    throw error;
  }
  const record: BlobRecord = { id, tenant, mediaType, ...written, createdMs, expiresMs };
  await execute(keepBlob(deps.redis.multi(), record));
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

/** As `readBlob`, without holding the bytes in memory. @throws AppError `not_found`, `storage_error`. */
export const openBlob = async (
  deps: Pick<Deps, 'redis' | 'blobs' | 'now'>,
  id: string,
  tenant: string,
  range?: ByteRange,
): Promise<{ record: BlobRecord; stream: Readable }> => {
  const record = await findBlob(deps, id, tenant);
  if (!record) throw new AppError('not_found', `There is no blob ${id}.`);
  return { record, stream: await deps.blobs.stream(id, range) };
};

/** Takes back what is known of bytes that were not stored after all. @throws AppError `unavailable`. */
export const forgetBlob = async (deps: Pick<Deps, 'redis'>, id: string): Promise<void> => {
  await execute(deps.redis.pipeline().del(blobKey(id)).zrem(BLOB_EXPIRY, id).hdel(ASIDE, id));
};

/** Removes bytes first, then records: what fails in between is found again at its expiry. */
export const removeBlobs = async (deps: Pick<Deps, 'redis' | 'blobs'>, ids: string[]): Promise<void> => {
  if (ids.length === 0) return;
  await Promise.all(ids.map((id) => deps.blobs.remove(id)));
  await execute(
    deps.redis
      .pipeline()
      .del(ids.map(blobKey))
      .zrem(BLOB_EXPIRY, ids)
      .hdel(ASIDE, ...ids),
  );
};

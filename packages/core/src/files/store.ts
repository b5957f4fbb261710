import type { Readable } from 'node:stream';
import type { BlobRecord, ByteRange } from '../blobs/blob.ts';
import { keepBlob, openBlob, removeBlobs, STREAM_MAX_MS, saveBlobStream } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, newId } from '../ids.ts';
import { execute } from '../redis.ts';
import { cleanFilename, type FilePurpose, type FileRecord } from './file.ts';

const fileKey = (id: string): string => `fana:file:${id}`;
/** Zset of a tenant's files; score: unix ms of creation. */
const tenantFilesKey = (tenant: string): string => `fana:tenant:${tenant}:files`;
/** Zset of every file; score: unix ms of expiry. */
export const FILE_EXPIRY = 'fana:files';

type FileDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/** What is told of a file beside its bytes. */
export type FileFacts = {
  tenant: string;
  filename: string;
  purpose: FilePurpose;
  /** Default: FANA_BLOB_TTL_SECONDS from now. */
  expiresMs?: number | undefined;
  /** Default: a new one. A file that exists under it already is replaced. */
  id?: string | undefined;
};
type FileBytes = { tenant: string; source: AsyncIterable<Uint8Array>; mediaType: string; blobId?: string | undefined };

/** Stores the bytes of a file to be. What `recordFile` never takes up is removed after some hours. @throws what `saveBlobStream` throws. */
export const storeFileBytes = (deps: FileDeps, { blobId, ...bytes }: FileBytes): Promise<BlobRecord> =>
  saveBlobStream(deps, { ...bytes, id: blobId, expiresMs: deps.now() + STREAM_MAX_MS });

/** Makes a file of stored bytes, in one step: from then on both have the expiry of the file. @throws AppError `unavailable`. */
export const recordFile = async (deps: FileDeps, facts: FileFacts, blob: BlobRecord): Promise<FileRecord> => {
  const createdMs = deps.now();
  const file: FileRecord = {
    id: facts.id ?? newId('file'),
    tenant: facts.tenant,
    filename: cleanFilename(facts.filename),
    purpose: facts.purpose,
    bytes: blob.bytes,
    mediaType: blob.mediaType,
    sha256: blob.sha256,
    blobId: blob.id,
    createdMs,
    expiresMs: facts.expiresMs ?? createdMs + deps.config.blobs.ttlSeconds * 1000,
    status: 'processed',
  };
  await execute(
    keepBlob(deps.redis.multi(), { ...blob, expiresMs: file.expiresMs })
      .set(fileKey(file.id), JSON.stringify(file))
      .zadd(tenantFilesKey(file.tenant), createdMs, file.id)
      .zadd(FILE_EXPIRY, file.expiresMs, file.id),
  );
  return file;
};

export type NewFile = FileFacts & { source: AsyncIterable<Uint8Array>; mediaType?: string | undefined };

/**
 * Stores a file whose facts are known before its bytes. With the `id` of an earlier try it can be repeated: one file is left, with the
 * bytes of the last. @throws AppError `storage_error`, `unavailable`, and what `source` throws.
 */
export const saveFile = async (deps: FileDeps, { source, mediaType = 'application/jsonl', ...facts }: NewFile): Promise<FileRecord> => {
  const earlier = facts.id === undefined ? undefined : await readFile(deps, facts.id);
  const blob = await storeFileBytes(deps, { tenant: facts.tenant, source, mediaType, blobId: earlier?.blobId });
  return recordFile(deps, facts, blob);
};

const readFile = async (deps: Pick<Deps, 'redis'>, id: string): Promise<FileRecord | undefined> => {
  const line = await deps.redis.get(fileKey(id));
  return line === null ? undefined : JSON.parse(line);
};

/** The file of that id, if it is this tenant's and has not expired. */
export const findFile = async (deps: Pick<Deps, 'redis' | 'now'>, tenant: string, id: string): Promise<FileRecord | undefined> => {
  const file = isId('file', id) ? await readFile(deps, id) : undefined;
  return file && file.tenant === tenant && file.expiresMs > deps.now() ? file : undefined;
};

/** The bytes of a file, or a range of them, without holding them in memory. @throws AppError `not_found`, `storage_error`. */
export const openFile = async (deps: Pick<Deps, 'redis' | 'blobs' | 'now'>, file: FileRecord, range?: ByteRange): Promise<Readable> =>
  (await openBlob(deps, file.blobId, file.tenant, range)).stream;

/** Removes the bytes first, then the record: what fails in between can be removed again, and is found at its expiry. */
export const removeFile = async (deps: Pick<Deps, 'redis' | 'blobs'>, file: FileRecord): Promise<void> => {
  await removeBlobs(deps, [file.blobId]);
  await execute(deps.redis.multi().del(fileKey(file.id)).zrem(tenantFilesKey(file.tenant), file.id).zrem(FILE_EXPIRY, file.id));
};

/** For the sweep: removes the file of an id whose time in FILE_EXPIRY has come. */
export const expireFile = async (deps: Pick<Deps, 'redis' | 'blobs'>, id: string): Promise<void> => {
  const file = await readFile(deps, id);
  if (file) await removeFile(deps, file);
  else await deps.redis.zrem(FILE_EXPIRY, id);
};

/** Which page of a tenant's files: at most `limit`, from the one after `after`, of one purpose or all. */
export type FileQuery = { limit: number; after?: string | undefined; order: 'asc' | 'desc'; purpose?: string | undefined };

/** At most this many records are read in one round trip. */
const SCAN = 500;

/**
 * A tenant's files by time of creation. An expired file is passed over although the sweep has not come yet.
 * @throws AppError `invalid_request` when `after` is not one of the tenant's files.
 */
export const listFiles = async (deps: Pick<Deps, 'redis' | 'now'>, tenant: string, query: FileQuery): Promise<{ files: FileRecord[]; hasMore: boolean }> => {
  const { limit, after, order, purpose } = query;
  const index = tenantFilesKey(tenant);
  let start = after === undefined ? 0 : (await rankOf(deps, index, after, order)) + 1;
  const nowMs = deps.now();
  const found: FileRecord[] = [];
  const step = purpose === undefined ? Math.min(limit + 1, SCAN) : SCAN;
  while (found.length <= limit) {
    const ids = await pageOf(deps, index, order, [start, start + step - 1]);
    const files = ids.length === 0 ? [] : (await deps.redis.mget(ids.map(fileKey))).flatMap((line): FileRecord[] => (line === null ? [] : [JSON.parse(line)]));
    found.push(...files.filter((file) => file.expiresMs > nowMs && (purpose === undefined || file.purpose === purpose)));
    if (ids.length < step) break;
    start += step;
  }
  return { files: found.slice(0, limit), hasMore: found.length > limit };
};

const pageOf = (deps: Pick<Deps, 'redis'>, index: string, order: FileQuery['order'], [first, last]: [number, number]): Promise<string[]> =>
  order === 'asc' ? deps.redis.zrange(index, first, String(last)) : deps.redis.zrevrange(index, first, last);

const rankOf = async (deps: Pick<Deps, 'redis'>, index: string, id: string, order: FileQuery['order']): Promise<number> => {
  const rank = await (order === 'asc' ? deps.redis.zrank(index, id) : deps.redis.zrevrank(index, id));
  if (rank === null) throw new AppError('invalid_request', 'after: there is no such file.', { param: 'after' });
  return rank;
};

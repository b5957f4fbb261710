import type { Redis } from 'ioredis';
import { DUE } from '../jobs/store.ts';
import { execute, loadScript } from '../redis.ts';
import type { Collection, DocumentRecord, DocumentStatus, Progress } from './collection.ts';

const collectionKey = (id: string): string => `fana:collection:${id}`;
const documentKey = (id: string): string => `fana:document:${id}`;
/** Zset of a tenant's collections; score: unix ms of creation. */
export const tenantCollectionsKey = (tenant: string): string => `fana:tenant:${tenant}:collections`;
/** Zset of a collection's documents; score: unix ms of creation. */
export const documentsKey = (collectionId: string): string => `fana:collection:${collectionId}:documents`;
/** Zset of a collection: versions whose chunks are to be removed, or may have to be; score: unix ms from when. */
const staleKey = (collectionId: string): string => `fana:collection:${collectionId}:stale`;
const lockKey = (collectionId: string): string => `fana:collection:${collectionId}:tidying`;

const scripts = {
  saveDocument: loadScript(import.meta.url, './save-document.lua'),
  completeDocument: loadScript(import.meta.url, './complete-document.lua'),
  noteDocument: loadScript(import.meta.url, './note-document.lua'),
  deleteDocument: loadScript(import.meta.url, './delete-document.lua'),
  beginIngest: loadScript(import.meta.url, './begin-ingest.lua'),
  planTidying: loadScript(import.meta.url, './plan-tidying.lua'),
};

/** The sweep sends the tidying of a collection this long after the change that asked for it, if its message was lost. */
const TIDY_CHECK_MS = 10_000;
/** A version that nobody has finished or given up may be looked at after this: longer than any ingest goes on. */
const ABANDONED_MS = 48 * 3_600_000;
/** A process that tidies and dies holds up others for this long. */
const TIDY_LOCK_MS = 60_000;

export const insertCollection = async (redis: Redis, collection: Collection): Promise<void> => {
  await execute(
    redis
      .multi()
      .set(collectionKey(collection.id), JSON.stringify(collection), 'NX')
      .zadd(tenantCollectionsKey(collection.tenant), 'NX', collection.createdMs, collection.id),
  );
};

export const readCollections = async (redis: Redis, ids: string[]): Promise<Collection[]> => {
  if (ids.length === 0) return [];
  return (await redis.mget(ids.map(collectionKey))).flatMap((line): Collection[] => (line === null ? [] : [JSON.parse(line)]));
};

/** From then on nothing of the collection is found; what it holds is removed by its tidying. False: it was gone already. */
export const dropCollection = async (redis: Redis, { id, tenant }: Collection, nowMs: number): Promise<boolean> => {
  const [removed] = await execute(
    redis
      .multi()
      .del(collectionKey(id))
      .zrem(tenantCollectionsKey(tenant), id)
      .zadd(DUE, nowMs + TIDY_CHECK_MS, id),
  );
  return removed === 1;
};

const decodeDocument = (id: string, hash: Record<string, string>): DocumentRecord => ({
  id,
  tenant: hash['tenant'] ?? '',
  collectionId: hash['collection'] ?? '',
  createdMs: Number(hash['created_ms']),
  source: JSON.parse(hash['source'] ?? '{}'),
  jobId: hash['job'] ?? '',
  status: hash['status'] as DocumentStatus,
  metadata: JSON.parse(hash['metadata'] ?? '{}'),
  ...(hash['title'] !== undefined && { title: hash['title'] }),
  ...(hash['found_title'] !== undefined && { foundTitle: hash['found_title'] }),
  ...(hash['bytes'] !== undefined && { bytes: Number(hash['bytes']) }),
  ...(hash['chunks'] !== undefined && { chunks: Number(hash['chunks']) }),
  ...(hash['live'] !== undefined && { live: hash['live'] }),
  ...(hash['total'] !== undefined && { progress: { done: Number(hash['done'] ?? 0), total: Number(hash['total']) } }),
  ...(hash['error'] !== undefined && { error: JSON.parse(hash['error']) }),
});

export const readDocuments = async (redis: Redis, ids: string[]): Promise<DocumentRecord[]> => {
  if (ids.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hgetall(documentKey(id));
  const hashes = (await execute(pipeline)) as Record<string, string>[];
  return ids.flatMap((id, at) => {
    const hash = hashes[at] ?? {};
    return hash['source'] === undefined ? [] : [decodeDocument(id, hash)];
  });
};

/** What a document begins a new version with. Unset: what the record says stays. */
export type DocumentChange = Pick<DocumentRecord, 'id' | 'tenant' | 'collectionId' | 'jobId'> &
  Partial<Pick<DocumentRecord, 'source' | 'title' | 'metadata' | 'bytes'>>;

/** Writes a document, or the beginning of a new version of one that exists. `gone`: its collection, or the document to be changed, is not there. */
export const saveDocument = async (redis: Redis, change: DocumentChange, isNew: boolean): Promise<'saved' | 'gone'> => {
  const { id, tenant, collectionId, jobId, source, title, metadata, bytes } = change;
  const fields: (string | number)[] = [];
  if (source) fields.push('source', JSON.stringify(source));
  if (title !== undefined) fields.push('title', title);
  if (metadata) fields.push('metadata', JSON.stringify(metadata));
  if (bytes !== undefined) fields.push('bytes', bytes);
  return (await scripts.saveDocument(
    redis,
    [collectionKey(collectionId), documentKey(id), documentsKey(collectionId), staleKey(collectionId)],
    [id, tenant, collectionId, jobId, isNew ? 1 : 0, ABANDONED_MS, ...fields],
  )) as 'saved' | 'gone';
};

/** Begins or takes up the ingest of a version. `deaths`: how many workers died over it since it last made progress. */
export type BeginIngest = { kind: 'gone' } | { kind: 'live' } | { kind: 'begun'; deaths: number; progress: Progress };
export const beginIngest = async (redis: Redis, collectionId: string, documentId: string, jobId: string): Promise<BeginIngest> => {
  const [kind, goes, done, total] = (await scripts.beginIngest(redis, [documentKey(documentId), staleKey(collectionId)], [jobId, ABANDONED_MS])) as [
    string,
    number,
    string,
    string,
  ];
  if (kind !== 'begun') return { kind: kind === 'live' ? 'live' : 'gone' };
  return { kind: 'begun', deaths: goes - 1, progress: { done: Number(done), total: Number(total) } };
};

/** Writes fields of a document while `jobId` is its ingest. False: it is not any more. */
export const noteDocument = async (redis: Redis, documentId: string, jobId: string, fields: Record<string, string | number>): Promise<boolean> =>
  (await scripts.noteDocument(redis, [documentKey(documentId)], [jobId, ...Object.entries(fields).flat()])) === 1;

/** Makes a whole version the one that searches find, in one step with what the document tells. `gone`: it was deleted or is ingested anew. */
export const completeDocument = async (redis: Redis, { id, collectionId }: DocumentRecord, jobId: string, chunks: number): Promise<'completed' | 'gone'> =>
  (await scripts.completeDocument(
    redis,
    [documentKey(id), staleKey(collectionId), collectionKey(collectionId), DUE],
    [id, collectionId, jobId, chunks, TIDY_CHECK_MS],
  )) as 'completed' | 'gone';

/** Takes a document away: once this resolves no search finds it. */
export const deleteDocumentKeys = async (redis: Redis, { id, collectionId }: DocumentRecord): Promise<void> => {
  await scripts.deleteDocument(redis, [documentKey(id), staleKey(collectionId), documentsKey(collectionId), DUE], [id, collectionId, TIDY_CHECK_MS]);
};

/** What a search has to know of a document whose chunks it found: the version it may show, and what it is called. */
export type LiveDocument = { live: string; title: string | null; url: string | null };

/** Those of these documents that are in the collection now, by their ids. */
export const readLive = async (redis: Redis, collectionId: string, documentIds: string[]): Promise<Map<string, LiveDocument>> => {
  const pipeline = redis.pipeline();
  for (const id of documentIds) pipeline.hmget(documentKey(id), 'collection', 'live', 'title', 'found_title', 'source');
  const found = new Map<string, LiveDocument>();
  if (documentIds.length === 0) return found;
  const replies = (await execute(pipeline)) as (string | null)[][];
  for (const [at, id] of documentIds.entries()) {
    const [collection, live, title, foundTitle, source] = replies[at] ?? [];
    if (collection !== collectionId || live == null) continue;
    const { url } = JSON.parse(source ?? '{}') as { url?: string };
    found.set(id, { live, title: title ?? foundTitle ?? null, url: url ?? null });
  }
  return found;
};

/** Says that the chunks of a version are not needed any more. */
export const discardVersion = async (redis: Redis, collectionId: string, version: string, nowMs: number): Promise<void> => {
  await execute(
    redis
      .multi()
      .zadd(staleKey(collectionId), nowMs, version)
      .zadd(DUE, nowMs + TIDY_CHECK_MS, collectionId),
  );
};

/** Versions whose time to be removed has come. */
export const staleVersions = async (redis: Redis, collectionId: string, nowMs: number): Promise<string[]> =>
  redis.zrangebyscore(staleKey(collectionId), '-inf', nowMs, 'LIMIT', 0, 500);

/** They are removed now. */
export const forgetVersions = async (redis: Redis, collectionId: string, versions: string[]): Promise<void> => {
  if (versions.length > 0) await redis.zrem(staleKey(collectionId), ...versions);
};

/** When the next tidying of a collection is due, as Redis writes it; null: none is. */
export const tidyingDue = async (redis: Redis, collectionId: string): Promise<string | null> => redis.zscore(DUE, collectionId);

/** Plans the next tidying, or none: unless somebody asked for one since `seen` was read. */
export const planTidying = async (redis: Redis, collectionId: string, seen: string | null, atMs: number | undefined): Promise<void> => {
  await scripts.planTidying(redis, [DUE], [collectionId, seen ?? '', atMs ?? '']);
};

/** Takes the right to tidy a collection, for a minute or until `unlockTidying`. */
export const lockTidying = async (redis: Redis, collectionId: string, token: string): Promise<boolean> =>
  (await redis.set(lockKey(collectionId), token, 'PX', TIDY_LOCK_MS, 'NX')) === 'OK';

export const unlockTidying = async (redis: Redis, collectionId: string, token: string): Promise<void> => {
  if ((await redis.get(lockKey(collectionId))) === token) await redis.del(lockKey(collectionId));
};

/** Removes the records of documents of a collection that is gone. */
export const eraseDocumentKeys = async (redis: Redis, collectionId: string, ids: string[]): Promise<void> => {
  if (ids.length === 0) return;
  await execute(
    redis
      .multi()
      .del(ids.map(documentKey))
      .zrem(documentsKey(collectionId), ...ids),
  );
};

/** Removes the rest of a collection that is gone. */
export const eraseCollectionKeys = async (redis: Redis, collectionId: string): Promise<void> => {
  await execute(redis.multi().del(documentsKey(collectionId), staleKey(collectionId)).zrem(DUE, collectionId));
};

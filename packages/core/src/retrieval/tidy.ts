import { removeBlobs } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { newId } from '../ids.ts';
import type { Enqueue } from '../queues.ts';
import {
  documentsKey,
  eraseCollectionKeys,
  eraseDocumentKeys,
  forgetVersions,
  lockTidying,
  planTidying,
  readCollections,
  readDocuments,
  staleVersions,
  tidyingDue,
  unlockTidying,
} from './store.ts';

/** What was deleted is in no file of the index after about this and a bit; until then a search that began before may read it. */
const READERS_MS = 60_000;
/** A tidying that somebody else does is looked at again. */
const BUSY_MS = 5_000;
const ROUND = 200;

/** Asks a worker to remove from a collection's index what nobody finds any more. */
export const tidyMessage = (deps: Pick<Deps, 'now'>, collectionId: string): Enqueue => ({
  queue: 'ingest',
  messageId: `${collectionId}-${deps.now()}`,
  message: { id: collectionId, run: 1 },
});

type TidyDeps = Pick<Deps, 'redis' | 'blobs' | 'retrieval' | 'now'>;

/** Removes everything of a collection that was deleted. */
const eraseCollection = async (deps: TidyDeps, collectionId: string): Promise<void> => {
  for (;;) {
    const ids = await deps.redis.zrange(documentsKey(collectionId), 0, String(ROUND - 1));
    if (ids.length === 0) break;
    const documents = await readDocuments(deps.redis, ids);
    await removeBlobs(
      deps,
      documents.flatMap(({ source }) => (source.blobId === undefined ? [] : [source.blobId])),
    );
    await eraseDocumentKeys(deps.redis, collectionId, ids);
  }
  await deps.retrieval.tables.drop(collectionId);
  await eraseCollectionKeys(deps.redis, collectionId);
};

const tidyLocked = async (deps: TidyDeps, collectionId: string): Promise<void> => {
  const [collection] = await readCollections(deps.redis, [collectionId]);
  if (!collection) return eraseCollection(deps, collectionId);
  const startedMs = deps.now();
  const due = await tidyingDue(deps.redis, collectionId);
  const versions = await staleVersions(deps.redis, collectionId, startedMs);
  await deps.retrieval.tables.tidy(collectionId, versions, new Date(startedMs - READERS_MS));
  await forgetVersions(deps.redis, collectionId, versions);
  // A second look removes the files that hold what was removed now.
  await planTidying(deps.redis, collectionId, due, versions.length > 0 ? startedMs + 1.5 * READERS_MS : undefined);
};

/**
 * Brings the index of a collection to what its records say: removes the chunks of versions that nobody finds any more, takes new ones into
 * the full-text index, and drops everything of a collection that was deleted. Safe to repeat; whoever comes while another does it leaves it
 * to a later look. @throws AppError `storage_error`.
 */
export const tidyCollection = async (deps: TidyDeps, collectionId: string): Promise<void> => {
  const token = newId('lease');
  if (!(await lockTidying(deps.redis, collectionId, token))) {
    await planTidying(deps.redis, collectionId, await tidyingDue(deps.redis, collectionId), deps.now() + BUSY_MS);
    return;
  }
  try {
    await tidyLocked(deps, collectionId);
  } finally {
    await unlockTidying(deps.redis, collectionId, token);
  }
};

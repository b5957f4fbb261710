import { removeBlobs } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import type { BatchRecord } from './batch.ts';
import { eraseBatchKeys, readParts } from './store.ts';

/** Removes a batch whose time has come: record, bitmaps and parts. Its files and pictures have an expiry of their own. */
export const eraseBatch = async (deps: Pick<Deps, 'redis' | 'blobs'>, batch: BatchRecord): Promise<void> => {
  const parts = await readParts(deps, batch.id);
  await removeBlobs(deps, [...parts.map(({ blobId }) => blobId), ...(batch.indexBlobId ? [batch.indexBlobId] : [])]);
  await eraseBatchKeys(deps, batch);
};

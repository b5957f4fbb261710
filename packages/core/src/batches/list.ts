import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { BatchRecord } from './batch.ts';
import { readBatches, tenantBatchesKey } from './store.ts';

/**
 * A tenant's batches, newest first, from the one after `after`.
 * @throws AppError `invalid_request` when `after` is not one of the tenant's batches.
 */
export const listBatches = async (
  deps: Pick<Deps, 'redis'>,
  tenant: string,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ batches: BatchRecord[]; hasMore: boolean }> => {
  const index = tenantBatchesKey(tenant);
  let start = 0;
  if (after !== undefined) {
    const rank = await deps.redis.zrevrank(index, after);
    if (rank === null) throw new AppError('invalid_request', 'after: there is no such batch.', { param: 'after' });
    start = rank + 1;
  }
  const ids = await deps.redis.zrevrange(index, start, start + limit);
  return { batches: await readBatches(deps, ids.slice(0, limit)), hasMore: ids.length > limit };
};

import { type HeldPart, renewBatchLeases } from '@fana/core/batches/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import type { Redis } from 'ioredis';
import { createLeaseKeeper, type LeaseKeeper, type RenewLeases } from './leases.ts';

/** The id under which the lease of a chunk is held; that of a step of the whole batch is the batch's own. */
export const chunkHoldId = (batchId: string, chunk: number): string => `${batchId}:${chunk}`;

const partOf = ({ id, lease }: { id: string; lease: string }): HeldPart => {
  const [batchId = '', chunk] = id.split(':');
  return { batchId, lease, ...(chunk !== undefined && { chunk: Number(chunk) }) };
};

const renew: RenewLeases = (redis, held) => renewBatchLeases(redis, held.map(partOf));

/** Keeps the leases of chunks and batch steps, as `createLeaseKeeper` does those of jobs. */
export const createBatchKeeper = (deps: Pick<Deps, 'redis' | 'logger'>, subscriber: Redis): Promise<LeaseKeeper> => createLeaseKeeper(deps, subscriber, renew);

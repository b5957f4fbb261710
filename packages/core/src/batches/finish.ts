import type { Deps } from '../deps.ts';
import { batchOccasion } from '../webhooks/occasion.ts';
import { prepareDeliveries, sendDeliveries } from '../webhooks/publish.ts';
import type { BatchEnd, BatchProblem, BatchRecord } from './batch.ts';
import { finishBatch } from './store.ts';
import type { BatchFiles } from './write-files.ts';

/** How a batch ends. */
export type Ending = BatchFiles & { status: BatchEnd; problems?: BatchProblem[] };

/**
 * Ends a batch once: status, files and webhook deliveries in one step. False: someone else holds or ended it, and nothing was changed.
 * @throws AppError `unavailable`.
 */
export const endBatch = async (
  deps: Pick<Deps, 'redis' | 'queues' | 'config' | 'now' | 'endpoints'>,
  batch: BatchRecord,
  lease: string,
  ending: Ending,
): Promise<boolean> => {
  const { id, spec } = batch;
  const { status, problems, outputFileId, errorFileId } = ending;
  const deliveries = await prepareDeliveries(deps, batchOccasion({ ...spec, id, status }));
  const fields: Record<string, string> = {
    ...(problems && problems.length > 0 && { problems: JSON.stringify(problems) }),
    ...(outputFileId !== undefined && { output_file: outputFileId }),
    ...(errorFileId !== undefined && { error_file: errorFileId }),
  };
  // A batch is kept as long as its files: whoever polls it late still finds them.
  const reply = await finishBatch(deps, batch, lease, { status, keptMs: deps.config.blobs.ttlSeconds * 1000, deliveries, fields });
  if (reply === 'ended') await sendDeliveries(deps, deliveries);
  return reply === 'ended';
};

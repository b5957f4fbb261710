import type { Deps } from '../deps.ts';
import type { Enqueue } from '../queues.ts';
import type { BatchRecord } from './batch.ts';
import { feedBatch, pendingChunks } from './store.ts';

/** The message of a step of the whole batch; the record says which step is due. `run` is not used. */
export const stepMessage = (id: string, step: 'validate' | 'finalize'): Enqueue => ({
  queue: 'batch-steps',
  messageId: `${id}-${step}`,
  message: { id, run: 0 },
});

/** The message of a chunk: `run` is its number. */
const chunkMessage = (id: string, chunk: number): Enqueue => ({ queue: 'batch', messageId: `${id}-${chunk}`, message: { id, run: chunk } });
/** A chunk of a batch that takes no new lines is not to wait for its turn (its provider may be paused for hours): a message of its own. */
const lastMessage = (id: string, chunk: number): Enqueue => ({ queue: 'batch', messageId: `${id}-${chunk}-last`, message: { id, run: chunk } });

/** Lets the next chunks of a batch into the queue. Dying in between is mended by the sweep. */
export const feed = async (deps: Pick<Deps, 'redis' | 'queues'>, { id, spec }: BatchRecord): Promise<void> => {
  const chunks = await feedBatch(deps, id, spec.tenant);
  if (chunks.length > 0) await deps.queues.enqueue(chunks.map((chunk) => chunkMessage(id, chunk)));
};

/** Sends every message a batch waits for; one that is there already is left alone. */
export const resendBatch = async (deps: Pick<Deps, 'redis' | 'queues'>, batch: BatchRecord): Promise<void> => {
  const { id, status } = batch;
  if (status === 'validating') return deps.queues.enqueue([stepMessage(id, 'validate')]);
  if (status === 'in_progress') await feed(deps, batch);
  const chunks = await pendingChunks(deps, id);
  const chunkMessageOf = batch.stop === undefined ? chunkMessage : lastMessage;
  // With no chunk left the files are due; a message that comes too early finds nothing to do.
  await deps.queues.enqueue(chunks.length > 0 ? chunks.map((chunk) => chunkMessageOf(id, chunk)) : [stepMessage(id, 'finalize')]);
};

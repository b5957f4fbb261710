import type { Deps } from '@fana/core/deps.ts';
import { isId } from '@fana/core/ids.ts';
import { BULLMQ_PREFIX, type JobMessage, type MessageQueue, SWEEP_QUEUE } from '@fana/core/queues.ts';
import { tidyCollection } from '@fana/core/retrieval/tidy.ts';
import { DelayedError, type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { LeaseKeeper } from './leases.ts';
import { createLineSlots } from './line-slots.ts';
import { createOriginSlots } from './origin-slots.ts';
import { runBatchStep } from './run-batch.ts';
import { type ChunkWorld, runBatchChunk } from './run-batch-chunk.ts';
import { runDelivery } from './run-delivery.ts';
import { DONE, type MessageFate } from './run-end.ts';
import { runJob } from './run-job.ts';
import { sweep } from './sweep.ts';

export type Workers = {
  /** Takes no new work, begins no further line of a batch, and waits for what runs. */
  drain: () => Promise<void>;
};

/** What keeps the leases of this process. */
export type Keepers = { jobs: LeaseKeeper; batches: LeaseKeeper };

/** A chunk brings 64 lines, which share the slots of the process: so many chunks that a few small or slow ones leave none of them empty. */
const chunksAtOnce = (lines: number): number => Math.max(2, Math.ceil(lines / 4));
/** Steps of whole batches (reading a file, writing files) at once: they are bound by one core. */
const STEPS_AT_ONCE = 2;

/** A message that broke on our side comes back after this long. */
const BROKEN_AGAIN_MS = 2000;

// Design 2 and 4: a dead worker's message is free after 10 s and found within another 3; stalls cost a good job nothing
// (BullMQ's default of one stall fails 1–3 % of them), because the record counts the attempts; nothing of a message is kept.
const options = {
  prefix: BULLMQ_PREFIX,
  lockDuration: 10_000,
  stalledInterval: 3_000,
  maxStalledCount: 1_000_000,
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
  skipVersionCheck: true,
} as const;

/** Runs `story` for a message; one that is to come again moves to the delayed ones instead of being completed. */
const consume = (deps: Deps, story: (message: JobMessage) => Promise<MessageFate>) => async (message: Job<JobMessage>, token?: string) => {
  let fate: MessageFate;
  try {
    fate = await story(message.data);
  } catch (error) {
    deps.logger.error({ err: error, message_id: message.id }, 'a message broke; it comes again');
    fate = { againInMs: BROKEN_AGAIN_MS };
  }
  if (fate.againInMs === undefined) return;
  if (fate.place === 'first') await message.changePriority({ priority: 0 });
  else if (fate.place === 'sooner' && message.priority > 1) await message.changePriority({ priority: message.priority - 1 });
  await message.moveToDelayed(deps.now() + fate.againInMs, token);
  throw new DelayedError();
};

const tidy = async (deps: Deps, collectionId: string): Promise<MessageFate> => {
  await tidyCollection(deps, collectionId);
  return DONE;
};

type Story = (message: JobMessage) => Promise<MessageFate>;

/** One BullMQ worker for each queue this process serves, and one for the sweep. `connection` waits for Redis (connectConsumer). */
export const createWorkers = (deps: Deps, keepers: Keepers, connection: Redis): Workers => {
  const { queues, concurrency } = deps.config.worker;
  const origins = createOriginSlots(Math.max(1, Math.floor(concurrency.webhook / 2)));
  const intake = new AbortController();
  const lines = createLineSlots(concurrency.batch);
  const chunks: ChunkWorld = { keeper: keepers.batches, slots: lines.limit, intake: intake.signal };
  const job: Story = (message) => runJob(deps, keepers.jobs, message);
  const stories: Record<MessageQueue, Story> = {
    chat: job,
    image: job,
    vision: job,
    embedding: job,
    // What a collection holds is tidied by those who fill it.
    ingest: (message) => (isId('col', message.id) ? tidy(deps, message.id) : job(message)),
    batch: (message) => runBatchChunk(deps, chunks, message),
    'batch-steps': (message) => runBatchStep(deps, keepers.batches, message),
    webhook: (message) => runDelivery(deps, origins, message),
  };
  const atOnce: Record<MessageQueue, number> = { ...concurrency, batch: chunksAtOnce(concurrency.batch), 'batch-steps': STEPS_AT_ONCE };
  const served: MessageQueue[] = queues.includes('batch') ? [...queues, 'batch-steps'] : queues;
  const workers = served.map((name) => new Worker<JobMessage>(name, consume(deps, stories[name]), { ...options, connection, concurrency: atOnce[name] }));
  const sweeper = new Worker(SWEEP_QUEUE, () => sweep(deps), { ...options, connection, concurrency: 1 });
  for (const worker of [...workers, sweeper]) {
    worker.on('error', (error) => deps.logger.warn({ err: error, queue: worker.name }, 'queue error'));
    // A sweep that broke, or a message that could not be moved: the next sweep mends what either left behind.
    worker.on('failed', (_, error) => deps.logger.error({ err: error, queue: worker.name }, 'a message failed'));
  }
  return {
    async drain() {
      intake.abort(new Error('this process takes no new work'));
      await Promise.all([...workers, sweeper].map((worker) => worker.close()));
      lines.close();
    },
  };
};

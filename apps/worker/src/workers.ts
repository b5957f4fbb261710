import type { QueueName } from '@fana/core/config.ts';
import type { Deps } from '@fana/core/deps.ts';
import { BULLMQ_PREFIX, type JobMessage, SWEEP_QUEUE } from '@fana/core/queues.ts';
import { DelayedError, type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { LeaseKeeper } from './leases.ts';
import { createOriginSlots } from './origin-slots.ts';
import { runDelivery } from './run-delivery.ts';
import type { MessageFate } from './run-end.ts';
import { runJob } from './run-job.ts';
import { sweep } from './sweep.ts';

export type Workers = {
  /** Takes no new work and waits for what runs. */
  drain: () => Promise<void>;
};

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
  if (fate.isFirst) await message.changePriority({ priority: 0 });
  await message.moveToDelayed(deps.now() + fate.againInMs, token);
  throw new DelayedError();
};

/** One BullMQ worker for each queue this process serves, and one for the sweep. `connection` waits for Redis (connectConsumer). */
export const createWorkers = (deps: Deps, keeper: LeaseKeeper, connection: Redis): Workers => {
  const slots = createOriginSlots(Math.max(1, Math.floor(deps.config.worker.concurrency.webhook / 2)));
  const stories: Record<QueueName, (message: JobMessage) => Promise<MessageFate>> = {
    chat: (message) => runJob(deps, keeper, message),
    image: (message) => runJob(deps, keeper, message),
    vision: (message) => runJob(deps, keeper, message),
    embedding: (message) => runJob(deps, keeper, message),
    webhook: (message) => runDelivery(deps, slots, message),
  };
  const workers = deps.config.worker.queues.map(
    (name) => new Worker<JobMessage>(name, consume(deps, stories[name]), { ...options, connection, concurrency: deps.config.worker.concurrency[name] }),
  );
  const sweeper = new Worker(SWEEP_QUEUE, () => sweep(deps), { ...options, connection, concurrency: 1 });
  for (const worker of [...workers, sweeper]) {
    worker.on('error', (error) => deps.logger.warn({ err: error, queue: worker.name }, 'queue error'));
    // A sweep that broke, or a message that could not be moved: the next sweep mends what either left behind.
    worker.on('failed', (_, error) => deps.logger.error({ err: error, queue: worker.name }, 'a message failed'));
  }
  return {
    async drain() {
      await Promise.all([...workers, sweeper].map((worker) => worker.close()));
    },
  };
};

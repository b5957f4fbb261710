import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { QUEUE_NAMES, type QueueName } from './config.ts';
import { AppError } from './errors.ts';

/** The message of a queue: an id and nothing else. `run` fences messages of earlier runs; of a batch it is the number of the chunk. */
export type JobMessage = { id: string; run: number };

/** The queue of the scheduler: one repeated message, whoever is free sweeps. */
export const SWEEP_QUEUE = 'sweep';
/** Before every key of BullMQ's. */
export const BULLMQ_PREFIX = 'fana:bull';

/** Queues of jobs and deliveries, and one for the short steps of whole batches, which are not to wait behind chunks. */
export type MessageQueue = QueueName | 'batch-steps';
export type Enqueue = { queue: MessageQueue; messageId: string; message: JobMessage; priority?: number; delayMs?: number };

export type Queues = {
  /**
   * Sends all messages at once. A message whose id is known already is left alone.
   * @throws AppError `unavailable` when they are not acknowledged in time (they may still arrive).
   */
  enqueue: (messages: Enqueue[]) => Promise<void>;
  /** Makes sure that a sweep is due every `everyMs`. */
  scheduleSweep: (everyMs: number) => Promise<void>;
  close: () => Promise<void>;
};

// The lists of BullMQ's own events are read by nobody here: keep them short (reference: 164 MB otherwise).
const options = { prefix: BULLMQ_PREFIX, streams: { events: { maxLen: 10 } }, skipVersionCheck: true } as const;

/** The fields of BullMQ's `JobJson` that a message begins with. */
const NEW_MESSAGE = { progress: 0, attemptsMade: 0, attemptsStarted: 0, stalledCounter: 0, failedReason: '', returnvalue: '' } as const;

/** One timer for a whole group of commands: ioredis' own `commandTimeout` sets one for each. */
const inTime = async <T>(promise: Promise<T>, timeoutMs: number): Promise<T> => {
  if (timeoutMs === Number.POSITIVE_INFINITY) return promise;
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new AppError('unavailable', 'Redis did not answer in time.', { retryAfterMs: 1000 })), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
};

/** Creates the queues over a connection of the caller, which the caller closes. `timeoutMs` is for a group of messages; Infinity waits for Redis. */
export const createQueues = (connection: Redis, timeoutMs: number): Queues => {
  const open = (name: string): Queue => {
    const queue = new Queue(name, { ...options, connection });
    // Without a listener a lost connection would end the process; the commands themselves report it to their callers.
    queue.on('error', () => undefined);
    return queue;
  };
  const queues = new Map<MessageQueue, Queue>([...QUEUE_NAMES, 'batch-steps' as const].map((name) => [name, open(name)]));
  const sweep = open(SWEEP_QUEUE);

  return {
    async enqueue(messages) {
      // Straight to the backend: `Queue.add` builds a Job of 18 fields around these two, checks options that are fixed here, and writes
      // the id a second time. One command a message, not `addBulk`, whose pipeline copies every command that BullMQ has taught this
      // connection (50 µs each time); they leave in one write all the same.
      const timestamp = Date.now();
      const adds = messages.map(({ queue, messageId, message, priority, delayMs }) => {
        const opts: JobsOptions = {};
        if (priority !== undefined) opts.priority = priority;
        if (delayMs !== undefined && delayMs > 0) opts.delay = Math.ceil(delayMs);
        const job = { id: messageId, name: 'run', data: JSON.stringify(message), opts, timestamp, ...NEW_MESSAGE };
        return queues.get(queue)?.getBackend().addJob(job, messageId);
      });
      await inTime(Promise.all(adds), timeoutMs);
    },
    async scheduleSweep(everyMs) {
      await sweep.upsertJobScheduler('sweep', { every: everyMs }, { name: 'sweep', opts: { removeOnComplete: true, removeOnFail: true } });
    },
    async close() {
      await Promise.all([...queues.values(), sweep].map((queue) => queue.close()));
    },
  };
};

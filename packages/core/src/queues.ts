import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { QUEUE_NAMES, type QueueName } from './config.ts';

/** The message of a queue: an id and nothing else (design: the queue carries ids). `run` fences messages of earlier runs. */
export type JobMessage = { id: string; run: number };

/** The queue of the scheduler: one repeated message, whoever is free sweeps. */
export const SWEEP_QUEUE = 'sweep';
export const BULLMQ_PREFIX = 'fana:bull';

export type Enqueue = { queue: QueueName; messageId: string; message: JobMessage; priority?: number; delayMs?: number };

export type Queues = {
  /** Sends all messages, one pipeline a queue. A message whose id is known already is left alone. */
  enqueue: (messages: Enqueue[]) => Promise<void>;
  /** Makes sure that a sweep is due every `everyMs`. */
  scheduleSweep: (everyMs: number) => Promise<void>;
  close: () => Promise<void>;
};

// The lists of BullMQ's own events are read by nobody here: keep them short (reference: 164 MB otherwise).
const options = { prefix: BULLMQ_PREFIX, streams: { events: { maxLen: 10 } }, skipVersionCheck: true } as const;

/** Creates the queues over a connection of the caller, which the caller closes. */
export const createQueues = (connection: Redis): Queues => {
  const open = (name: string): Queue => {
    const queue = new Queue(name, { ...options, connection });
    // Without a listener a lost connection would end the process; the commands themselves report it to their callers.
    queue.on('error', () => undefined);
    return queue;
  };
  const queues = new Map<QueueName, Queue>(QUEUE_NAMES.map((name) => [name, open(name)]));
  const sweep = open(SWEEP_QUEUE);

  return {
    async enqueue(messages) {
      const byQueue = new Map<QueueName, { name: string; data: JobMessage; opts: JobsOptions }[]>();
      for (const { queue, messageId, message, priority, delayMs } of messages) {
        const opts: JobsOptions = { jobId: messageId };
        if (priority !== undefined) opts.priority = priority;
        if (delayMs !== undefined && delayMs > 0) opts.delay = delayMs;
        const list = byQueue.get(queue);
        if (list) list.push({ name: 'run', data: message, opts });
        else byQueue.set(queue, [{ name: 'run', data: message, opts }]);
      }
      await Promise.all([...byQueue].map(([name, list]) => queues.get(name)?.addBulk(list)));
    },
    async scheduleSweep(everyMs) {
      await sweep.upsertJobScheduler('sweep', { every: everyMs }, { name: 'sweep', opts: { removeOnComplete: true, removeOnFail: true } });
    },
    async close() {
      await Promise.all([...queues.values(), sweep].map((queue) => queue.close()));
    },
  };
};

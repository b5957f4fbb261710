import type { Deps } from '../deps.ts';
import { toAppError } from '../errors.ts';
import type { Enqueue } from '../queues.ts';
import { JOB_CATALOG } from './catalog.ts';
import { type JobSpec, messageId } from './job.ts';
import { type AcceptItem, type AcceptReply, acceptJobs } from './store.ts';

type Waiting = { spec: JobSpec; item: AcceptItem; resolve: (reply: AcceptReply) => void; reject: (error: unknown) => void };

export type Acceptor = {
  /** Resolves when the record and its message are acknowledged. @throws AppError `unavailable`. */
  accept: (submission: { spec: JobSpec; item: AcceptItem }) => Promise<AcceptReply>;
};

/** One flush carries at most this many: a script of 200 items holds Redis for about 3 ms. */
const MAX_FLUSH = 200;
/** So many waiting leave at once, without waiting for the end of the loop's turn: Redis works while the next ones are parsed. */
const EAGER_FLUSH = 32;
/** A second flush hides the round trips of the first. More and smaller ones (8 of 8) cost 3 % more CPU a job and gain nothing at 64 connections. */
const MAX_IN_FLIGHT = 2;

/** The message of a run. */
export const messageOf = (id: string, run: number, spec: JobSpec, delayMs = 0): Enqueue => ({
  queue: JOB_CATALOG[spec.type].queue,
  messageId: messageId(id, run),
  message: { id, run },
  priority: spec.priority,
  delayMs,
});

/**
 * Group commit: submissions that arrive while a flush is on its way leave together with the next one.
 * A flush is two pipelined round trips, whatever its size: the records (accept.lua), then the messages.
 * A crash between the two is mended by the sweep, which looks at every accepted job once (`FIRST_CHECK_MS`).
 */
export const createAcceptor = (deps: Pick<Deps, 'redis' | 'queues' | 'now'>): Acceptor => {
  const waiting: Waiting[] = [];
  let inFlight = 0;
  let scheduled = false;

  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const group = waiting.splice(0, MAX_FLUSH);
    inFlight++;
    try {
      const replies = await acceptJobs(
        deps.redis,
        group.map(({ item }) => item),
      );
      const messages = group.flatMap(({ spec, item }, at) => {
        if (replies[at]?.kind !== 'accepted' || replies[at].waits) return [];
        return [messageOf(item.id, 1, spec, spec.runAtMs === undefined ? 0 : spec.runAtMs - deps.now())];
      });
      if (messages.length > 0) await deps.queues.enqueue(messages);
      for (const [at, { resolve }] of group.entries()) resolve(replies[at] as AcceptReply);
    } catch (error) {
      // Redis is away: who waited behind this flush would wait as long again, and an answer is due within 2 s. They were not sent.
      for (const { reject } of [...group, ...waiting.splice(0)]) reject(toAppError(error));
    } finally {
      inFlight--;
      schedule();
    }
  };

  const schedule = (): void => {
    if (waiting.length === 0 || inFlight >= MAX_IN_FLIGHT) return;
    if (waiting.length >= EAGER_FLUSH) {
      void flush();
      return;
    }
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      void flush();
      schedule();
    });
  };

  return {
    accept: ({ spec, item }) =>
      new Promise((resolve, reject) => {
        waiting.push({ spec, item, resolve, reject });
        schedule();
      }),
  };
};

import type { Redis } from 'ioredis';
import type { ChoiceDelta } from '../providers/provider.ts';
import type { JobRecord } from './job.ts';
import { eventsKey } from './store.ts';

/**
 * One entry of a job's event stream. `id` is the Redis stream id: it only grows. `delta` is text of the first answer; `choices` is what
 * the piece adds beside it: to other answers, or to the first one but text.
 */
export type JobEvent = { id: string; type: string; attempt: number; createdMs: number; delta?: string; choices?: ChoiceDelta[] };

const STREAM_ID = /^(\d{1,16})-(\d{1,10})$/;
/** Whether a text has the form of a stream id: what a client sends as Last-Event-ID. */
export const isEventId = (id: string): boolean => STREAM_ID.test(id);

/** Orders two stream ids: negative when `a` came first. */
export const compareEventIds = (a: string, b: string): number => {
  const [aMs = 0, aSeq = 0] = a.split('-').map(Number);
  const [bMs = 0, bSeq = 0] = b.split('-').map(Number);
  return aMs - bMs || aSeq - bSeq;
};

/** How many entries one read takes: a slow reader catches up in steps. */
const PAGE = 200;

const toEvent = ([id, fields]: [string, string[]]): JobEvent => {
  const values: Record<string, string> = {};
  for (let i = 0; i < fields.length; i += 2) values[fields[i] as string] = fields[i + 1] as string;
  const event: JobEvent = { id, type: values['type'] ?? '', attempt: Number(values['attempt'] ?? 0), createdMs: Number(values['at'] ?? 0) };
  if (values['delta'] !== undefined) event.delta = values['delta'];
  if (values['choices'] !== undefined) event.choices = JSON.parse(values['choices']);
  return event;
};

/** The events after `afterId` ('' = from the first), at most one page. */
export const readEvents = async (redis: Redis, jobId: string, afterId: string): Promise<JobEvent[]> => {
  const entries = await redis.xrange(eventsKey(jobId), afterId === '' ? '-' : `(${afterId}`, '+', 'COUNT', PAGE);
  return entries.map(toEvent);
};

/** The first event of a first run, whose id is the time of acceptance: it is written at the claim, but may be read before. */
export const queuedEvent = (job: JobRecord): JobEvent | undefined =>
  job.run === 1 ? { id: `${job.createdMs}-0`, type: 'job.queued', attempt: 1, createdMs: job.createdMs } : undefined;

/** The terminal event of an ended job, also when its stream is gone (10 min after the end). */
export const terminalEvent = (job: JobRecord): JobEvent | undefined =>
  job.endEventId === undefined
    ? undefined
    : { id: job.endEventId, type: `job.${job.status}`, attempt: job.attempts.at(-1)?.number ?? 0, createdMs: job.finishedMs ?? 0 };

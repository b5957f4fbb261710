import { compareEventIds, type JobEvent, queuedEvent, readEvents, terminalEvent } from '@fana/core/jobs/events.ts';
import { END_EVENTS, isTerminal } from '@fana/core/jobs/job.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import type { ApiDeps } from './api-deps.ts';

/** So long without an event, `idle` is told: a comment then keeps proxies from closing the stream. A missed message is found out as soon. */
const IDLE_MS = 5000;

const END_TYPES = new Set<string>(END_EVENTS);

/** Whether a job's events end with this one. */
export const isEndEvent = ({ type }: JobEvent): boolean => END_TYPES.has(type);

/** What is new since `last` ('' = from the first). Undefined: the job was deleted. When the stream is gone, the end alone is left. */
const newEvents = async (deps: ApiDeps, jobId: string, last: string): Promise<JobEvent[] | undefined> => {
  const events = await readEvents(deps.redis, jobId, last);
  if (events.length > 0) return events;
  const job = await readJob(deps.redis, jobId);
  if (!job) return undefined;
  const first = queuedEvent(job);
  if (!isTerminal(job.status)) return last === '' && first ? [first] : [];
  // An end that came between the two reads is in the stream, with what came before it.
  const late = await readEvents(deps.redis, jobId, last);
  if (late.length > 0) return late;
  const end = terminalEvent(job);
  return end && (last === '' || compareEventIds(end.id, last) > 0) ? [end] : [];
};

/**
 * The events of a job, from its first, as they come; `idle` now and then. Ends after the terminal event, when `signal` is aborted, when the
 * process is about to end, and when the job is deleted.
 */
export async function* followEvents(deps: ApiDeps, jobId: string, signal: AbortSignal): AsyncGenerator<JobEvent | 'idle'> {
  let wake: () => void = () => undefined;
  const stop = await deps.watcher.watch(jobId, () => wake());
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  let last = '';
  try {
    while (!signal.aborted && !deps.watcher.isClosing()) {
      // Armed before the read: what comes while we read is not lost.
      const woken = new Promise<'woken'>((resolve) => {
        wake = () => resolve('woken');
      });
      const events = await newEvents(deps, jobId, last);
      if (!events) return;
      for (const event of events) {
        yield event;
        if (isEndEvent(event)) return;
        last = event.id;
      }
      if (events.length > 0) continue;
      let timer: NodeJS.Timeout | undefined;
      const idle = new Promise<'idle'>((resolve) => {
        timer = setTimeout(() => resolve('idle'), IDLE_MS);
      });
      const why = await Promise.race([woken, idle]);
      clearTimeout(timer);
      if (why === 'idle') yield why;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop();
  }
}

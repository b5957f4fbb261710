import { AppError } from '@fana/core/errors.ts';
import { compareEventIds, isEventId, type JobEvent, queuedEvent, readEvents, terminalEvent } from '@fana/core/jobs/events.ts';
import { END_EVENTS, isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { presentJob } from '@fana/core/jobs/present.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import type { Context } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';

/** A comment keeps proxies from closing an idle stream; the record is read again as often, in case a message was missed. */
const HEARTBEAT_MS = 5000;

/** When the process ends under a stream, its reader is asked to come back this soon: another process goes on where it left off. */
const RESUME_AFTER_MS = 1000;

const END_TYPES = new Set<string>(END_EVENTS);

/**
 * The events of a job as server-sent events. `id` is the Redis stream id, so that `Last-Event-ID` resumes where any process left off:
 * everything after it is read from the stream, nothing is lost or repeated. Ends after the terminal event.
 * @throws AppError `invalid_request` for a `Last-Event-ID` that is none of ours.
 */
export const streamJobEvents = (deps: ApiDeps, c: Context<Environment>, job: JobRecord): Response => {
  const lastEventId = c.req.header('last-event-id') ?? '';
  if (lastEventId !== '' && !isEventId(lastEventId)) {
    throw new AppError('invalid_request', 'Last-Event-ID: is not an id of this stream.', { param: 'Last-Event-ID' });
  }
  // hono answers HEAD with the headers of GET: nobody would read the stream, and it would be followed to the end of the job.
  if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' });
  c.header('x-accel-buffering', 'no');
  return streamSSE(
    c,
    (stream) => follow(deps, job, stream, lastEventId),
    async (error) => {
      // Headers are out: the client sees a cut stream and resumes with Last-Event-ID.
      deps.logger.warn({ err: error, request_id: c.var.requestId }, 'event stream broke');
    },
  );
};

const follow = async (deps: ApiDeps, job: JobRecord, stream: SSEStreamingApi, lastEventId: string): Promise<void> => {
  let wake: () => void = () => undefined;
  const stop = await deps.watcher.watch(job.id, () => wake());
  stream.onAbort(() => wake());
  try {
    const first = queuedEvent(job);
    let last = lastEventId;
    if (first && last === '') {
      await send(deps, stream, job.id, first);
      last = first.id;
    }
    while (!stream.aborted && !stream.closed) {
      if (deps.watcher.isClosing()) {
        await stream.write(`retry: ${RESUME_AFTER_MS}\n\n`);
        return;
      }
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const step = await sendNew(deps, stream, job.id, last);
      if (step.ended) return;
      if (step.last !== last) {
        last = step.last;
        continue;
      }
      const timer = setTimeout(wake, HEARTBEAT_MS);
      await woken;
      clearTimeout(timer);
      if (!stream.aborted) await stream.write(': keep-alive\n\n');
    }
  } finally {
    stop();
  }
};

/** Sends what is new. With nothing new, the record tells whether the end was missed because its stream has expired. */
const sendNew = async (deps: ApiDeps, stream: SSEStreamingApi, jobId: string, last: string): Promise<{ last: string; ended: boolean }> => {
  const events = await readEvents(deps.redis, jobId, last);
  let reached = last;
  for (const event of events) {
    await send(deps, stream, jobId, event);
    reached = event.id;
    if (END_TYPES.has(event.type)) return { last: reached, ended: true };
  }
  if (events.length > 0) return { last: reached, ended: false };
  const job = await readJob(deps.redis, jobId);
  if (!job) return { last, ended: true };
  if (!isTerminal(job.status)) return { last, ended: false };
  const end = terminalEvent(job);
  // An end that came between the two reads is in the stream: the next round sends it with what came before it.
  if (end && (last === '' || compareEventIds(end.id, last) > 0)) {
    const late = await readEvents(deps.redis, jobId, last);
    if (late.length > 0) return sendNew(deps, stream, jobId, last);
    await send(deps, stream, jobId, end);
  }
  return { last, ended: true };
};

const send = async (deps: ApiDeps, stream: SSEStreamingApi, jobId: string, event: JobEvent): Promise<void> => {
  const data: Record<string, unknown> = { type: event.type, job_id: jobId, attempt: event.attempt, created_at: Math.floor(event.createdMs / 1000) };
  if (event.delta !== undefined) data['delta'] = event.delta;
  if (END_TYPES.has(event.type)) {
    const job = await readJob(deps.redis, jobId);
    if (job) data['job'] = await presentJob(deps, job);
  }
  await stream.writeSSE({ id: event.id, event: event.type, data: JSON.stringify(data) });
};

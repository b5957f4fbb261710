import { jobError } from '@fana/core/endpoints/error.ts';
import { createResponseEvents, endOfResponse, type ResponseEvent, type ResponseEvents, streamInterrupted } from '@fana/core/endpoints/response-events.ts';
import { AppError } from '@fana/core/errors.ts';
import type { JobEvent } from '@fana/core/jobs/events.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import type { Context } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { followEvents, isEndEvent } from '../follow-events.ts';
import { errorReply } from './error-reply.ts';
import type { Seat } from './seat.ts';
import { BLOCK_SECONDS, stillRunning } from './still-running.ts';

/** Which response is streamed, the seat of who asked for it first, what belongs on the reply, and the number of the last event its reader has (-1: none). */
export type Streamed = { job: JobRecord; headers: Record<string, string>; startingAfter: number; seat?: Seat };

/** A stream on its way: what was read of it already, and what is still to come. */
type Opened = Streamed & { events: ResponseEvents; source: AsyncGenerator<JobEvent | 'idle'>; ready: ResponseEvent[]; stop: AbortController };

const open = (deps: ApiDeps, c: Context<Environment>, streamed: Streamed): Opened => {
  const stop = new AbortController();
  c.req.raw.signal.addEventListener('abort', () => stop.abort());
  return { ...streamed, events: createResponseEvents(deps, streamed.job), source: followEvents(deps, streamed.job.id, stop.signal), ready: [], stop };
};

/** The events of a response that one event of its job brings. When the others are gone, the last one follows whatever the reader has. */
const translate = async (deps: ApiDeps, { events, job, startingAfter }: Opened, event: JobEvent): Promise<ResponseEvent[]> => {
  if (!isEndEvent(event) || events.nextNumber() > 0) return (await events.add(event)).filter((told) => told.sequence_number > startingAfter);
  const { type, ...said } = await endOfResponse(deps, job.id);
  return [{ type, sequence_number: startingAfter + 1, ...said }];
};

const write = (stream: SSEStreamingApi, event: ResponseEvent): Promise<void> => stream.writeSSE({ event: event.type, data: JSON.stringify(event) });

/** Sends everything to the end, or to where the stream cannot go on. */
const send = async (deps: ApiDeps, stream: SSEStreamingApi, opened: Opened): Promise<void> => {
  const { events, source, job, ready } = opened;
  if (events.hasEnded()) opened.seat?.markFinal();
  for (const event of ready) await write(stream, event);
  if (events.hasEnded()) return;
  for await (const event of source) {
    if (stream.aborted || stream.closed) return;
    if (event === 'idle') {
      await stream.write(': keep-alive\n\n');
      continue;
    }
    if (isEndEvent(event)) opened.seat?.markFinal();
    for (const told of await translate(deps, opened, event)) await write(stream, told);
    if (events.hasEnded() || isEndEvent(event)) return;
  }
  // Not one of the response's own events: it has the number of the last of them, so that a reader resumes behind that.
  const { type, ...said } = streamInterrupted(job.id, 'The stream was cut on our side.');
  if (!stream.aborted) await write(stream, { type, sequence_number: Math.max(events.nextNumber() - 1, 0), ...said });
};

const start = (deps: ApiDeps, c: Context<Environment>, opened: Opened): Response => {
  for (const [name, value] of Object.entries({ ...opened.headers, 'x-accel-buffering': 'no' })) c.header(name, value);
  return streamSSE(
    c,
    async (stream) => {
      stream.onAbort(() => opened.stop.abort());
      await send(deps, stream, opened).finally(async () => {
        await opened.source.return(undefined);
        await opened.seat?.close();
      });
    },
    async (error) => {
      // Headers are out: the client sees a cut stream. The response goes on and can be fetched.
      deps.logger.warn({ err: error, request_id: c.var.requestId }, 'response stream broke');
    },
  );
};

/** The events of a response, at once: nobody who can come back for it needs a status first. */
export const streamResponse = (deps: ApiDeps, c: Context<Environment>, streamed: Streamed): Response => start(deps, c, open(deps, c, streamed));

/** Reads until the answer begins. Returns why there is no stream to send, if so. */
const untilBegun = async (deps: ApiDeps, opened: Opened): Promise<AppError | undefined> => {
  const { events, source, job, ready } = opened;
  for (;;) {
    const { value: event, done } = await source.next();
    if (done) return stillRunning();
    if (event === 'idle') continue;
    if (isEndEvent(event) && event.type !== 'job.completed') {
      const ended = await readJob(deps.redis, job.id);
      return ended ? jobError(ended) : new AppError('not_found', 'The job was deleted while it was waited for.');
    }
    ready.push(...(await translate(deps, opened, event)));
    if (events.hasBegun() || isEndEvent(event)) return undefined;
  }
};

/**
 * The events of a response whose caller waits for it: no status before the answer begins or the job fails (contract 3), so that an error
 * comes as one.
 */
export const streamWhenBegun = async (deps: ApiDeps, c: Context<Environment>, streamed: Streamed): Promise<Response> => {
  const opened = open(deps, c, streamed);
  const timer = setTimeout(() => opened.stop.abort(), BLOCK_SECONDS * 1000);
  let isSent = false;
  try {
    const problem = await untilBegun(deps, opened);
    if (problem) {
      await streamed.seat?.close(problem.code === 'still_running' ? undefined : 'delivered');
      return errorReply(c, problem, streamed.headers);
    }
    isSent = true;
    return start(deps, c, opened);
  } finally {
    clearTimeout(timer);
    // Whoever sends the stream closes its source.
    if (!isSent) await opened.source.return(undefined);
  }
};

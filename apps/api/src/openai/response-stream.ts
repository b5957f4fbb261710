import { jobError } from '@fana/core/endpoints/error.ts';
import { createResponseEvents, endOfResponse, type ResponseEvent, type ResponseEvents, streamInterrupted } from '@fana/core/endpoints/response-events.ts';
import { AppError } from '@fana/core/errors.ts';
import type { JobEvent } from '@fana/core/jobs/events.ts';
import { isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
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

/**
 * A stream on its way. `ready`: what is next to be sent; `reached`: the number of the last event sent; `end`: nothing more will come, for
 * the response was told whole, or its answer broke off after it was told of.
 */
type Opened = Streamed & {
  events: ResponseEvents;
  source: AsyncGenerator<JobEvent | 'idle'>;
  ready: ResponseEvent[];
  reached: number;
  isFirst: boolean;
  end: 'told' | 'interrupted' | undefined;
  stop: AbortController;
};

/** After these an answer begins anew: what was told of it belongs to an attempt that failed. */
const RERUN_TYPES = new Set(['output.reset', 'job.queued', 'job.started']);

const open = (deps: ApiDeps, c: Context<Environment>, streamed: Streamed): Opened => {
  const stop = new AbortController();
  c.req.raw.signal.addEventListener('abort', () => stop.abort());
  return {
    ...streamed,
    events: createResponseEvents(deps, streamed.job),
    source: followEvents(deps, streamed.job.id, stop.signal),
    ready: [],
    reached: streamed.startingAfter,
    isFirst: true,
    end: undefined,
    stop,
  };
};

/** Whether a piece belongs to an attempt that had failed when its reader came: nobody is told of it, its numbers are passed over. */
const isVoid = ({ attempts, status }: JobRecord, { type, attempt }: JobEvent): boolean => {
  const last = attempts.at(-1);
  if (type !== 'output.delta' || !last) return false;
  return attempt < last.number || (last.outcome !== null && !isTerminal(status));
};

/** Takes back what was not sent of an answer that broke off; what was sent cannot be. */
const takeBack = (opened: Opened): void => {
  const told = opened.events.restart();
  if (!told) return;
  if (opened.reached >= told.from && opened.reached < told.to) opened.end = 'interrupted';
  opened.ready = opened.ready.filter(({ sequence_number: number }) => number < told.from);
};

/** Takes what an event of the job says of its response. When the events before the last are gone, that one follows whatever the reader has. */
const take = async (deps: ApiDeps, opened: Opened, event: JobEvent): Promise<void> => {
  const { events, job, startingAfter } = opened;
  const isGone = opened.isFirst && isEndEvent(event);
  opened.isFirst = false;
  if (RERUN_TYPES.has(event.type)) takeBack(opened);
  if (opened.end) return;
  if (isEndEvent(event)) opened.end = 'told';
  if (isGone) {
    const { type, ...said } = await endOfResponse(deps, job.id);
    opened.ready.push({ type, sequence_number: startingAfter + 1, ...said });
    return;
  }
  const told = await events.add(event);
  if (!isVoid(job, event)) opened.ready.push(...told.filter(({ sequence_number: number }) => number > startingAfter));
};

const write = (stream: SSEStreamingApi, { type, ...said }: ResponseEvent): Promise<void> =>
  stream.writeSSE({ event: type, data: JSON.stringify({ type, ...said }) });

/** Sends what is ready, and why the stream ends here if its response does not. */
const flush = async (stream: SSEStreamingApi, opened: Opened): Promise<void> => {
  if (opened.end === 'told') opened.seat?.markFinal();
  for (const event of opened.ready.splice(0)) {
    await write(stream, event);
    opened.reached = event.sequence_number;
  }
  if (opened.end !== 'interrupted') return;
  // Not one of the response's own events: it has the number of the last of them, so that a reader resumes behind that.
  const { type, ...said } = streamInterrupted(opened.job.id, 'The stream was cut before the end of the answer.');
  await write(stream, { type, sequence_number: Math.max(opened.reached, 0), ...said });
};

/** Sends everything to the end, or to where the stream cannot go on. */
const send = async (deps: ApiDeps, stream: SSEStreamingApi, opened: Opened): Promise<void> => {
  await flush(stream, opened);
  while (!opened.end && !stream.aborted && !stream.closed) {
    const { value: event, done } = await opened.source.next();
    if (done) opened.end = 'interrupted';
    else if (event === 'idle') await stream.write(': keep-alive\n\n');
    else await take(deps, opened, event);
    if (!stream.aborted) await flush(stream, opened);
  }
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
  for (;;) {
    const { value: event, done } = await opened.source.next();
    if (done) return stillRunning();
    if (event === 'idle') continue;
    if (isEndEvent(event) && event.type !== 'job.completed') {
      const ended = await readJob(deps.redis, opened.job.id);
      return ended ? jobError(ended) : new AppError('not_found', 'The job was deleted while it was waited for.');
    }
    await take(deps, opened, event);
    if (opened.end || (opened.events.hasBegun() && !isVoid(opened.job, event))) return undefined;
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

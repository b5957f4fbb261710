import { type EndpointError, endpointError, jobError } from '@fana/core/endpoints/error.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import type { JobEvent } from '@fana/core/jobs/events.ts';
import { isTerminal, type JobOutput, type JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import type { Context } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { followEvents, isEndEvent } from '../follow-events.ts';
import { errorReply } from './error-reply.ts';
import type { Seat } from './seat.ts';
import { BLOCK_SECONDS, stillRunning } from './still-running.ts';

/** How an endpoint tells a job as server-sent events: each function returns frames, ready to be written. */
type StreamFormat = {
  piece: (event: JobEvent) => string;
  /** The end of a completed job, with all that no piece has told: a replay has none. */
  end: (job: JobRecord, output: JobOutput) => string;
  fail: (error: EndpointError['error']) => string;
};
/** `job` is as it was at the first piece. */
export type FormatOf = (job: JobRecord) => StreamFormat;

/** What is to be streamed: a job, how it is told, the seat of who listens and the headers of the reply. */
export type StreamRequest = { job: JobRecord; formatOf: FormatOf; seat: Seat; headers: Record<string, string> };

type Source = AsyncIterable<JobEvent | 'idle'>;

/** After these a rerun begins: what was told belongs to an attempt that failed. */
const RERUN_TYPES = new Set(['output.reset', 'job.queued', 'job.started']);

/** The first piece with the job as it was then, or why there is none. */
type Beginning = { kind: 'piece'; event: JobEvent; job: JobRecord } | { kind: 'ended' } | { kind: 'error'; error: AppError };

const notFound = (): AppError => new AppError('not_found', 'The job was deleted while it was waited for.');

/** Waits for the first piece or the end. What an attempt said that has failed since is told to nobody. */
const awaitBeginning = async (deps: ApiDeps, jobId: string, source: Source): Promise<Beginning> => {
  for await (const event of source) {
    if (event === 'idle') continue;
    if (isEndEvent(event)) return { kind: 'ended' };
    if (event.type !== 'output.delta') continue;
    const job = await readJob(deps.redis, jobId);
    if (job && job.status !== 'queued' && job.attempts.at(-1)?.number === event.attempt) return { kind: 'piece', event, job };
  }
  const job = await readJob(deps.redis, jobId);
  return { kind: 'error', error: job ? stillRunning() : notFound() };
};

/** Why a stream ends before its answer does, though the job may go on. */
const brokenStream = (job: JobRecord, attempt: number): AppError => {
  const failed = job.attempts.find(({ number }) => number === attempt)?.error;
  const why = failed?.message ?? 'The answer broke off.';
  return new AppError(failed?.code ?? 'outcome_unknown', `${why} The stream ends here; the job goes on: ${job.id}.`);
};

type Telling = { deps: ApiDeps; stream: SSEStreamingApi; format: StreamFormat; jobId: string; seat: Seat };

const fail = async ({ stream, format }: Telling, error: AppError): Promise<void> => {
  await stream.write(format.fail(endpointError(error).error));
};

const readExisting = async (deps: ApiDeps, jobId: string): Promise<JobRecord> => {
  const job = await readJob(deps.redis, jobId);
  if (!job) throw notFound();
  return job;
};

const tellEnd = async (telling: Telling): Promise<void> => {
  const { deps, stream, format, jobId, seat } = telling;
  const job = await readExisting(deps, jobId);
  if (job.status !== 'completed') {
    seat.markFinal();
    await fail(telling, jobError(job));
    return;
  }
  const output = await readOutput(deps, job);
  if (!output) throw new AppError('internal_error', 'The job has no result.');
  seat.markFinal();
  await stream.write(format.end(job, output));
};

/** Tells everything from the first piece on, to the end or to where it breaks. */
const tellAll = async (telling: Telling, first: JobEvent, source: Source): Promise<void> => {
  const { deps, stream, format, jobId } = telling;
  await stream.write(format.piece(first));
  for await (const event of source) {
    if (stream.aborted) return;
    if (event === 'idle') await stream.write(': keep-alive\n\n');
    else if (isEndEvent(event)) return tellEnd(telling);
    else if (RERUN_TYPES.has(event.type)) return fail(telling, brokenStream(await readExisting(deps, jobId), first.attempt));
    else if (event.type === 'output.delta') await stream.write(format.piece(event));
  }
  if (stream.aborted) return;
  const job = await readExisting(deps, jobId);
  await fail(telling, new AppError('still_running', `The server is about to end. The job goes on: ${job.id}.`, { retryAfterMs: 1000 }));
};

/** Sends the head. From here on whatever goes wrong is told in the stream. */
const sendStream = (
  deps: ApiDeps,
  c: Context<Environment>,
  { job, seat, headers, formatOf }: StreamRequest,
  tell: (telling: Telling) => Promise<void>,
): Response => {
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
  c.header('x-accel-buffering', 'no');
  return streamSSE(c, async (stream) => {
    const telling: Telling = { deps, stream, format: formatOf(job), jobId: job.id, seat };
    try {
      await tell(telling);
    } catch (thrown) {
      const error = toAppError(thrown);
      deps.logger.warn({ err: error, job_id: job.id }, 'stream broke');
      // Of a fault on our side: what became of the job is not known here, but it can be read.
      if (!stream.aborted) await fail(telling, new AppError(error.code, `${error.message} The stream ends here; read the job: ${job.id}.`));
    } finally {
      await seat.close();
    }
  });
};

const readKept = async (deps: ApiDeps, job: JobRecord): Promise<JobOutput> => {
  const output = await readOutput(deps, job).catch((thrown: unknown) => {
    if (toAppError(thrown).code === 'not_found') return undefined;
    throw thrown;
  });
  if (!output) throw new AppError('replay_unavailable', 'What this job has answered is not kept any more.');
  return output;
};

/** A job that has ended, told anew from its result. @throws AppError `replay_unavailable` when that is gone. */
const streamEnded = async (deps: ApiDeps, c: Context<Environment>, request: StreamRequest): Promise<Response> => {
  const { seat, headers } = request;
  const job = await readExisting(deps, request.job.id);
  if (job.status !== 'completed') {
    const told = errorReply(c, jobError(job), headers);
    seat.markFinal();
    await seat.close();
    return told;
  }
  const output = await readKept(deps, job);
  return sendStream(deps, c, { ...request, job }, async ({ stream, format }) => {
    seat.markFinal();
    await stream.write(format.end(job, output));
  });
};

const streamRunning = async (deps: ApiDeps, c: Context<Environment>, request: StreamRequest): Promise<Response> => {
  const { seat, headers } = request;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  c.req.raw.signal.addEventListener('abort', onAbort);
  const timer = setTimeout(onAbort, BLOCK_SECONDS * 1000);
  const source = followEvents(deps, request.job.id, stop.signal);
  // Not by `for await` alone: the generator is to go on after the first piece.
  const untouched: Source = { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) };
  let beginning: Beginning | undefined;
  try {
    beginning = await awaitBeginning(deps, request.job.id, untouched);
  } finally {
    clearTimeout(timer);
    if (beginning?.kind !== 'piece') await source.return(undefined);
  }
  if (beginning.kind === 'piece') {
    const { event, job } = beginning;
    return sendStream(deps, c, { ...request, job }, (telling) => tellAll(telling, event, source));
  }
  if (beginning.kind === 'ended') return streamEnded(deps, c, request);
  await seat.close();
  return errorReply(c, beginning.error, headers);
};

/**
 * Answers with the stream of a job. No status is sent before the first piece or failure: an error before it is a reply of its own. A
 * stream that breaks later ends with an error; the job goes on. A caller that goes away stops the telling alone.
 */
export const streamAnswer = async (deps: ApiDeps, c: Context<Environment>, request: StreamRequest): Promise<Response> => {
  try {
    return await (isTerminal(request.job.status) ? streamEnded : streamRunning)(deps, c, request);
  } catch (thrown) {
    await request.seat.close();
    throw thrown;
  }
};

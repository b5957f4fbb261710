import type { Endpoint } from '@fana/core/endpoints/endpoint.ts';
import { jobError } from '@fana/core/endpoints/error.ts';
import { AppError } from '@fana/core/errors.ts';
import { isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { presentJob } from '@fana/core/jobs/present.ts';
import type { Context } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { parsePrefer } from '../prefer.ts';
import { reply } from '../reply.ts';
import { waitForEnd } from '../wait-for-end.ts';
import { errorReply } from './error-reply.ts';
import { BLOCK_SECONDS, stillRunning } from './still-running.ts';
import { streamAnswer } from './stream-answer.ts';
import { type Request, type Submitted, submitRequest } from './submit-request.ts';

/** The reply of a job that has ended. */
const answerEnded = async (deps: ApiDeps, c: Context<Environment>, endpoint: Endpoint, job: JobRecord, headers: Record<string, string>): Promise<Response> => {
  if (job.status !== 'completed') return errorReply(c, jobError(job), headers);
  const output = await readOutput(deps, job);
  if (!output) throw new AppError('internal_error', 'The job has no result.');
  // OpenAI's bodies have no place for who answered, nor that a successor or the simulated provider did.
  const served = job.servedBy ? { 'x-fana-served-by': encodeURI(`${job.servedBy.provider}/${job.servedBy.model}`) } : {};
  return reply(c, await endpoint.present(deps, { ...job, output }), 200, { ...headers, ...served });
};

/** Waits for the end; `waitSeconds` and `isAsync` are what `Prefer` asks for. */
const answer = async (
  deps: ApiDeps,
  c: Context<Environment>,
  endpoint: Endpoint,
  { job, headers, seat }: Submitted,
  { waitSeconds, isAsync }: { waitSeconds?: number | undefined; isAsync: boolean },
): Promise<Response> => {
  const asNative = async (native: JobRecord): Promise<Response> => {
    const native202 = reply(c, await presentJob(deps, native), 202, { ...headers, Location: `/v1/jobs/${native.id}` });
    seat.markFinal();
    return native202;
  };
  if (isAsync) return asNative(job);
  const ended = await waitForEnd(deps, job.id, (waitSeconds ?? BLOCK_SECONDS) * 1000, c.req.raw.signal);
  if (!ended) throw new AppError('not_found', 'The job was deleted while it was waited for.');
  if (!isTerminal(ended.status)) return waitSeconds === undefined ? errorReply(c, stillRunning(), headers) : asNative(ended);
  const told = await answerEnded(deps, c, endpoint, ended, headers);
  seat.markFinal();
  return told;
};

/**
 * Answers a request in OpenAI's way: submits its job and blocks until the end, or streams it. `Prefer: respond-async` answers 202 with the
 * native job, and so does `wait=N` when N seconds were not enough.
 */
export const serve = async (deps: ApiDeps, c: Context<Environment>, request: Request): Promise<Response> => {
  const { waitSeconds, respondAsync } = parsePrefer(c.req.header('prefer'));
  const isAsync = respondAsync && waitSeconds === undefined;
  const submitted = await submitRequest(deps, c, request, respondAsync);
  const { headers, seat, job } = submitted;
  if (request.stream && !isAsync) return streamAnswer(deps, c, { job, seat, headers, formatOf: request.stream });
  if (waitSeconds !== undefined) headers['Preference-Applied'] = `wait=${waitSeconds}`;
  else if (isAsync) headers['Preference-Applied'] = 'respond-async';
  try {
    return await answer(deps, c, request.endpoint, submitted, { waitSeconds, isAsync });
  } finally {
    await seat.close();
  }
};

import type { Endpoint, EndpointCall } from '@fana/core/endpoints/endpoint.ts';
import { jobError } from '@fana/core/endpoints/error.ts';
import { AppError } from '@fana/core/errors.ts';
import { isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { presentJob } from '@fana/core/jobs/present.ts';
import { submitCall } from '@fana/core/jobs/submit.ts';
import type { Context } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { readIdempotencyKey } from '../middleware/idempotency.ts';
import { parsePrefer } from '../prefer.ts';
import { rateLimitHeaders } from '../rate-limit-headers.ts';
import { reply } from '../reply.ts';
import { waitForEnd } from '../wait-for-end.ts';
import { errorReply } from './error-reply.ts';

/** Contract 3: compatible routes block at most this long. */
export const BLOCK_SECONDS = 280;
/** Contract 3: provider pauses are waited out up to this, then the caller is told. */
const PAUSE_BUDGET_MS = 60_000;

/** One request to a compatible route: the endpoint, what it asks for, and its body as text (for the idempotency fingerprint). */
export type Request = { endpoint: Endpoint; call: EndpointCall; rawBody: string };

/** Submits the job of a request. `headers` belong on every reply to it. */
export const submitRequest = async (deps: ApiDeps, c: Context<Environment>, { endpoint, call, rawBody }: Request, isPatient: boolean) => {
  const { caller } = c.var;
  const { job, replayed, limit } = await submitCall(deps, deps.acceptor, caller, call, {
    endpoint: endpoint.name,
    rawBody,
    idempotencyKey: readIdempotencyKey(c),
    ...(!isPatient && { pauseBudgetMs: PAUSE_BUDGET_MS }),
  });
  const headers: Record<string, string> = limit ? rateLimitHeaders(caller.requestsPerMinute, limit) : {};
  headers['x-fana-job-id'] = job.id;
  if (replayed) headers['Idempotent-Replayed'] = 'true';
  return { job, headers };
};

export const stillRunning = (): AppError =>
  new AppError('still_running', 'The job is still running: send the request again to wait on, or read the job.', { retryAfterMs: 1000 });

/** The reply of a job that has ended. */
const answerEnded = async (deps: ApiDeps, c: Context<Environment>, endpoint: Endpoint, job: JobRecord, headers: Record<string, string>): Promise<Response> => {
  if (job.status !== 'completed') return errorReply(c, jobError(job), headers);
  const output = await readOutput(deps, job);
  if (!output) throw new AppError('internal_error', 'The job has no result.');
  return reply(c, await endpoint.present(deps, { ...job, output }), 200, headers);
};

/**
 * Answers a request in OpenAI's way: submits its job and blocks until the end. `Prefer: respond-async` answers 202 with the native job,
 * and so does `wait=N` when N seconds were not enough.
 */
export const serve = async (deps: ApiDeps, c: Context<Environment>, request: Request): Promise<Response> => {
  const { waitSeconds, respondAsync } = parsePrefer(c.req.header('prefer'));
  const isAsync = respondAsync && waitSeconds === undefined;
  const { job, headers } = await submitRequest(deps, c, request, respondAsync);
  if (waitSeconds !== undefined) headers['Preference-Applied'] = `wait=${waitSeconds}`;
  else if (isAsync) headers['Preference-Applied'] = 'respond-async';
  const asNative = async (native: JobRecord): Promise<Response> =>
    reply(c, await presentJob(deps, native), 202, { ...headers, Location: `/v1/jobs/${native.id}` });
  if (isAsync) return asNative(job);
  const ended = await waitForEnd(deps, job.id, (waitSeconds ?? BLOCK_SECONDS) * 1000, c.req.raw.signal);
  if (!ended) throw new AppError('not_found', 'The job was deleted while it was waited for.');
  if (isTerminal(ended.status)) return answerEnded(deps, c, request.endpoint, ended, headers);
  return waitSeconds === undefined ? errorReply(c, stillRunning(), headers) : asNative(ended);
};

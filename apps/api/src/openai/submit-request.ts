import { removeBlobs } from '@fana/core/blobs/store.ts';
import type { Endpoint, EndpointCall } from '@fana/core/endpoints/endpoint.ts';
import { AppError } from '@fana/core/errors.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { joinEarlierTry } from '@fana/core/jobs/join.ts';
import { type Place, readJob } from '@fana/core/jobs/store.ts';
import { type SubmitResult, submitCall } from '@fana/core/jobs/submit.ts';
import { overRequestLimit, takeRequest } from '@fana/core/tenants/limits.ts';
import type { Context } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { readIdempotencyKey } from '../middleware/idempotency.ts';
import { rateLimitHeaders } from '../rate-limit-headers.ts';
import { type Seat, sitDown } from './seat.ts';
import type { FormatOf } from './stream-answer.ts';
import { newPlace } from './waiters.ts';

/** Contract 3: provider pauses are waited out up to this, then the caller is told. */
const PAUSE_BUDGET_MS = 60_000;

/**
 * One request to a compatible route: the endpoint, what it asks for, and its body as text: what tells it from others, for Idempotency-Key
 * and for its own repetitions. `stream`: it is to be answered as a stream.
 */
export type Request = { endpoint: Endpoint; call: EndpointCall; rawBody: string; stream?: FormatOf };

/** The job of a request, the seat of its caller, and the headers that belong on every reply to it. */
export type Submitted = { job: JobRecord; seat: Seat; headers: Record<string, string> };

/** SDKs count their tries, and send nothing else that tells a repetition. */
const isRepetition = (c: Context<Environment>): boolean => Number(c.req.header('x-stainless-retry-count')) >= 1;

/** The job that an earlier try of this request began. It counts as a request, and brings nothing of its own. */
const join = async (deps: ApiDeps, c: Context<Environment>, place: Place, call: EndpointCall): Promise<SubmitResult | undefined> => {
  if (!isRepetition(c)) return undefined;
  const id = await joinEarlierTry(deps, place, c.req.raw.signal);
  const job = id === undefined ? undefined : await readJob(deps.redis, id);
  if (!job) {
    // Nobody would be there to be answered by a job of its own.
    if (c.req.raw.signal.aborted) throw new AppError('cancelled', 'The caller has gone.');
    return undefined;
  }
  const taken = await takeRequest(deps, c.var.caller);
  if (taken && !taken.allowed) {
    await deps.waiters.leave(job.id, place, false);
    throw overRequestLimit(taken.resetSeconds);
  }
  await removeBlobs(deps, call.ownedBlobIds ?? []);
  return { job, replayed: false, ...(taken && { limit: taken }) };
};

/** Submits the job of a request, or joins the one that an earlier try of it began (contract 3). */
export const submitRequest = async (deps: ApiDeps, c: Context<Environment>, { endpoint, call, rawBody }: Request, isPatient: boolean): Promise<Submitted> => {
  const { caller } = c.var;
  const idempotencyKey = readIdempotencyKey(c);
  const place = newPlace(caller.keyId, endpoint.name, rawBody);
  const submit = (): Promise<SubmitResult> =>
    submitCall(deps, deps.acceptor, caller, call, {
      endpoint: endpoint.name,
      rawBody,
      idempotencyKey,
      place,
      ...(!isPatient && { pauseBudgetMs: PAUSE_BUDGET_MS }),
    });
  // An Idempotency-Key says by itself which job is meant.
  const { job, replayed, limit } = (idempotencyKey === undefined ? await join(deps, c, place, call) : undefined) ?? (await submit());
  const headers: Record<string, string> = limit ? rateLimitHeaders(caller.requestsPerMinute, limit) : {};
  headers['x-fana-job-id'] = job.id;
  if (replayed) headers['Idempotent-Replayed'] = 'true';
  return { job, headers, seat: sitDown(deps, c, job.id, place) };
};

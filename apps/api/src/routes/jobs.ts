import { AppError } from '@fana/core/errors.ts';
import { isId } from '@fana/core/ids.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { isTerminal, JOB_STATUSES, JOB_TYPES, type JobRecord } from '@fana/core/jobs/job.ts';
import { listJobs } from '@fana/core/jobs/list.ts';
import { presentJob } from '@fana/core/jobs/present.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { parseWith } from '@fana/core/parse.ts';
import { assertSessionId } from '@fana/core/sessions/manage-sessions.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { readIdempotencyKey } from '../middleware/idempotency.ts';
import { limits } from '../middleware/limits.ts';
import { MAX_WAIT_SECONDS, parsePrefer } from '../prefer.ts';
import { rateLimitHeaders } from '../rate-limit-headers.ts';
import { reply } from '../reply.ts';
import { waitForEnd } from '../wait-for-end.ts';
import { streamJobEvents } from './job-events.ts';

const MAX_BODY_BYTES = 10 * 1024 * 1024;

const jobListQuery = listQuery.extend({ status: z.enum(JOB_STATUSES).optional(), type: z.enum(JOB_TYPES).optional(), session_id: z.string().optional() });
const waitQuery = z.coerce.number().int().min(0).max(MAX_WAIT_SECONDS);

/** `/v1/jobs`: submit, get, wait, list, events, cancel, retry, delete. */
export const jobRoutes = (deps: ApiDeps): Hono<Environment> => {
  const app = new Hono<Environment>();
  app.use(authenticate(deps.keys, 'jobs'));

  app.post('/', async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const caller = c.get('caller');
    const { job, replayed, limit } = await submitJob(deps, deps.acceptor, caller, body, { rawBody: raw, idempotencyKey: readIdempotencyKey(c) });
    const headers: Record<string, string> = limit ? rateLimitHeaders(caller.requestsPerMinute, limit) : {};
    if (replayed) headers['Idempotent-Replayed'] = 'true';
    headers['Location'] = `/v1/jobs/${job.id}`;
    const prefer = c.req.header('prefer');
    if (prefer === undefined) return reply(c, await presentJob(deps, job), 202, headers);
    const { waitSeconds, respondAsync } = parsePrefer(prefer);
    // With both, the answer is asynchronous only when the wait was too short (RFC 7240 4.3).
    if (waitSeconds === undefined) {
      if (respondAsync) headers['Preference-Applied'] = 'respond-async';
      return reply(c, await presentJob(deps, job), 202, headers);
    }
    headers['Preference-Applied'] = `wait=${waitSeconds}`;
    const waited = (await waitForEnd(deps, job.id, waitSeconds * 1000, c.req.raw.signal)) ?? job;
    return reply(c, await presentJob(deps, waited), isTerminal(waited.status) ? 200 : 202, headers);
  });

  app.get('/', async (c) => {
    const { status, type, session_id: sessionId, limit, after } = parseWith(jobListQuery, c.req.query());
    if (sessionId !== undefined) assertSessionId(sessionId);
    const { jobs, hasMore } = await listJobs(deps, c.get('caller').tenant, { status, type, sessionId }, { limit, after });
    return reply(c, listPage(await Promise.all(jobs.map((job) => presentJob(deps, job))), hasMore), 200);
  });

  app.get('/:id', async (c) => {
    const job = await ownJob(deps, c);
    const wait = c.req.query('wait');
    if (wait === undefined) return reply(c, await presentJob(deps, job), 200);
    const seconds = parseWith(waitQuery, wait, ['wait']);
    const waited = await waitForEnd(deps, job.id, seconds * 1000, c.req.raw.signal);
    return reply(c, await presentJob(deps, waited ?? notFound(job.id)), 200);
  });

  app.get('/:id/events', async (c) => streamJobEvents(deps, c, await ownJob(deps, c)));

  app.post('/:id/cancel', async (c) => {
    const job = await ownJob(deps, c);
    return c.json(await presentJob(deps, (await cancelJob(deps, job)) ?? notFound(job.id)));
  });

  app.post('/:id/retry', limits(deps), async (c) => {
    const job = await ownJob(deps, c);
    c.header('Location', `/v1/jobs/${job.id}`);
    return c.json(await presentJob(deps, (await retryJob(deps, job)) ?? notFound(job.id)), 202);
  });

  app.delete('/:id', async (c) => {
    const job = await ownJob(deps, c);
    await eraseJob(deps, job);
    return c.json({ id: job.id, object: 'job', deleted: true });
  });

  app.all('/', allowOnly('GET', 'POST'));
  app.all('/:id', allowOnly('GET', 'DELETE'));
  app.all('/:id/events', allowOnly('GET'));
  app.all('/:id/cancel', allowOnly('POST'));
  app.all('/:id/retry', allowOnly('POST'));
  return app;
};

const notFound = (id: string): never => {
  throw new AppError('not_found', `There is no job ${id.slice(0, 100)}.`);
};

/** The job named in the path, if it is the caller's: another tenant's does not exist for them. */
const ownJob = async (deps: ApiDeps, c: Context<Environment, '/:id'>): Promise<JobRecord> => {
  const id = c.req.param('id');
  const job = isId('job', id) ? await readJob(deps.redis, id) : undefined;
  return job?.spec.tenant === c.get('caller').tenant ? job : notFound(id);
};

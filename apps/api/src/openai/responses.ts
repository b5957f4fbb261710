import { presentResponse } from '@fana/core/endpoints/response-object.ts';
import { findResponse, responses } from '@fana/core/endpoints/responses.ts';
import { AppError } from '@fana/core/errors.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { type Context, Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { reply } from '../reply.ts';
import { waitForEnd } from '../wait-for-end.ts';
import { serve, submitRequest } from './serve.ts';

/** Contract 3. */
const MAX_BODY_BYTES = 50 * 1024 * 1024;
/** A running job is stopped within 2 s (contract 4): waited for, so that the answer can say `cancelled`. */
const CANCEL_WAIT_MS = 3000;

const tell = async (deps: ApiDeps, job: JobRecord): Promise<Record<string, unknown>> => {
  const output = await readOutput(deps, job);
  return presentResponse(deps, { ...job, ...(output && { output }) });
};

const notFound = (id: string): never => {
  throw new AppError('not_found', `There is no response ${id.slice(0, 100)}.`, { param: 'response_id' });
};

/** The response named in the path, if it is the caller's and was stored: another tenant's does not exist for them. */
const ownResponse = async (deps: ApiDeps, c: Context<Environment, '/:id'>): Promise<JobRecord> => {
  const id = c.req.param('id');
  return (await findResponse(deps, c.var.caller.tenant, id)) ?? notFound(id);
};

const create = async (deps: ApiDeps, c: Context<Environment>): Promise<Response> => {
  const { raw, body } = await readJson(c, MAX_BODY_BYTES);
  const call = await responses.parse(deps, c.var.caller.tenant, body);
  const request = { endpoint: responses, call, rawBody: raw };
  if (call.echo['stream']) throw new AppError('unsupported_parameter', 'stream is not supported yet.', { param: 'stream' });
  if (!call.echo['background']) return serve(deps, c, request);
  // Nobody waits for it: it may wait out whatever its provider asks for.
  const { job, headers } = await submitRequest(deps, c, request, true);
  return reply(c, await tell(deps, job), 200, headers);
};

const cancel = async (deps: ApiDeps, c: Context<Environment, '/:id'>): Promise<Response> => {
  const job = await ownResponse(deps, c);
  if (!job.spec.echo?.['background']) {
    throw new AppError('invalid_request', 'Only a response that was made with background: true can be cancelled.', { param: 'response_id' });
  }
  if (!isTerminal(job.status)) await cancelJob(deps, job);
  const ended = await waitForEnd(deps, job.id, CANCEL_WAIT_MS, c.req.raw.signal);
  return reply(c, await tell(deps, ended ?? notFound(c.req.param('id'))), 200);
};

/** `/v1/responses`. */
export const responseRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'jobs'));
  routes.post('/', (c) => create(deps, c));
  routes.get('/:id', async (c) => reply(c, await tell(deps, await ownResponse(deps, c)), 200));
  routes.post('/:id/cancel', (c) => cancel(deps, c));
  routes.delete('/:id', async (c) => {
    const job = await ownResponse(deps, c);
    await eraseJob(deps, job);
    return reply(c, { id: c.req.param('id'), object: 'response', deleted: true }, 200);
  });
  routes.all('/', allowOnly('POST'));
  routes.all('/:id', allowOnly('GET', 'DELETE'));
  routes.all('/:id/cancel', allowOnly('POST'));
  return routes;
};

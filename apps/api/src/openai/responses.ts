import { findResponse } from '@fana/core/endpoints/find-response.ts';
import { responseInputItems } from '@fana/core/endpoints/response-items.ts';
import { presentResponse } from '@fana/core/endpoints/response-object.ts';
import { checkInclude, responses } from '@fana/core/endpoints/responses.ts';
import { AppError } from '@fana/core/errors.ts';
import { renameId } from '@fana/core/ids.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { readEvents } from '@fana/core/jobs/events.ts';
import { isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { parseWith } from '@fana/core/parse.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { reply } from '../reply.ts';
import { waitForEnd } from '../wait-for-end.ts';
import { streamResponse, streamWhenBegun } from './response-stream.ts';
import { serve } from './serve.ts';
import { submitRequest } from './submit-request.ts';

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
  const { stream, background } = call.echo;
  if (!stream && !background) return serve(deps, c, request);
  // Of a response in the background nobody waits: it may wait out whatever its provider asks for.
  const { job, headers, seat } = await submitRequest(deps, c, request, background === true);
  if (!stream) {
    const told = reply(c, await tell(deps, job), 200, headers);
    await seat.close('delivered');
    return told;
  }
  if (isTerminal(job.status) && (await readEvents(deps.redis, job.id, '')).length === 0) {
    await seat.close();
    throw new AppError('replay_unavailable', `The events of ${renameId('resp', job.id)} are not kept any more: fetch it without a stream.`);
  }
  const streamed = { job, headers, seat, startingAfter: -1 };
  return background ? streamResponse(deps, c, streamed) : streamWhenBegun(deps, c, streamed);
};

const flag = z.enum(['true', 'false']).transform((value) => value === 'true');
const retrieveQuery = z.strictObject({
  stream: flag.default(false),
  starting_after: z
    .string()
    .regex(/^\d{1,9}$/, 'must be a sequence number')
    .transform(Number)
    .optional(),
  include_obfuscation: flag.default(false),
});

/** The query but `include`, in whatever form a client writes its list: what it may ask for is there anyway. */
const queryOf = (c: Context<Environment>): Record<string, string> => {
  const query: Record<string, string> = {};
  for (const [name, values] of Object.entries(c.req.queries())) {
    if (/^include(\[\d*\])?$/.test(name)) checkInclude(values);
    else query[name] = values[0] ?? '';
  }
  return query;
};

const retrieve = async (deps: ApiDeps, c: Context<Environment, '/:id'>): Promise<Response> => {
  const { stream, starting_after: startingAfter, include_obfuscation: isPadded } = parseWith(retrieveQuery, queryOf(c));
  if (isPadded) throw new AppError('unsupported_parameter', 'include_obfuscation: streams are not padded here.', { param: 'include_obfuscation' });
  if (startingAfter !== undefined && !stream) throw new AppError('invalid_request', 'starting_after: is only for streams.', { param: 'starting_after' });
  const job = await ownResponse(deps, c);
  if (!stream) return reply(c, await tell(deps, job), 200);
  // hono answers HEAD with the headers of GET: nobody would read the stream.
  if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' });
  return streamResponse(deps, c, { job, headers: { 'x-fana-job-id': job.id }, startingAfter: startingAfter ?? -1 });
};

const itemsQuery = listQuery.extend({ order: z.enum(['asc', 'desc']).default('desc') });

const listInputItems = async (deps: ApiDeps, c: Context<Environment, '/:id'>): Promise<Response> => {
  const { limit, after, order } = parseWith(itemsQuery, queryOf(c));
  const items = await responseInputItems(deps, await ownResponse(deps, c));
  if (order === 'desc') items.reverse();
  const start = after === undefined ? 0 : items.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw new AppError('invalid_request', 'after: there is no such item.', { param: 'after' });
  return reply(c, listPage(items.slice(start, start + limit), items.length > start + limit), 200);
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
  routes.get('/:id', (c) => retrieve(deps, c));
  routes.get('/:id/input_items', (c) => listInputItems(deps, c));
  routes.post('/:id/cancel', (c) => cancel(deps, c));
  routes.delete('/:id', async (c) => {
    const job = await ownResponse(deps, c);
    await eraseJob(deps, job);
    return reply(c, { id: c.req.param('id'), object: 'response', deleted: true }, 200);
  });
  routes.all('/', allowOnly('POST'));
  routes.all('/:id', allowOnly('GET', 'DELETE'));
  routes.all('/:id/cancel', allowOnly('POST'));
  routes.all('/:id/input_items', allowOnly('GET'));
  return routes;
};

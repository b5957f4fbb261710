import { AppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import { parseWith } from '@fana/core/parse.ts';
import { DEFAULT_ENDPOINT, type WebhookEndpoint } from '@fana/core/webhooks/endpoint.ts';
import { WEBHOOK_EVENT_TYPES } from '@fana/core/webhooks/event.ts';
import {
  createEndpoint,
  deleteEndpoint,
  findEndpoint,
  listEndpoints,
  lookUpEndpoint,
  rotateSecret,
  updateEndpoint,
} from '@fana/core/webhooks/manage-endpoints.ts';
import { currentSecret, defaultSecret } from '@fana/core/webhooks/secret.ts';
import { testEndpoint } from '@fana/core/webhooks/test-endpoint.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson, readOptionalJson } from '../middleware/body.ts';
import { createOnce } from '../middleware/idempotency.ts';
import { limits } from '../middleware/limits.ts';
import { listEndpointDeliveries } from './webhook-deliveries.ts';

const MAX_BYTES = 100_000;

const eventType = z.enum(WEBHOOK_EVENT_TYPES, { error: `must be one of ${WEBHOOK_EVENT_TYPES.join(', ')}` });
const settings = {
  name: z.string().min(1, 'must not be empty').max(200, 'must have at most 200 characters'),
  url: z.string().min(1, 'must not be empty').max(8192, 'must have at most 8192 characters'),
  event_types: z
    .array(eventType)
    .min(1, 'must name at least one event type')
    .refine((types) => new Set(types).size === types.length, 'must not name an event type twice'),
};
const createSchema = z.strictObject(settings);
const updateSchema = z.strictObject({ ...createSchema.partial().shape, enabled: z.boolean().optional() });
const rotateSchema = z.strictObject({ keep_old_secret_active_for_24_hours: z.boolean().nullish() });
const testSchema = z.strictObject({ event_type: eventType });
/** The SDK writes an `after` of null as an empty one. */
const endpointListQuery = listQuery.extend({
  after: z
    .string()
    .max(100)
    .transform((id) => id || undefined)
    .optional(),
});

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** OpenAI's webhook endpoint, and after it what is ours. */
const view = (endpoint: WebhookEndpoint) => ({
  id: endpoint.id,
  object: 'webhook_endpoint' as const,
  name: endpoint.name,
  url: endpoint.url,
  event_types: endpoint.eventTypes,
  created_at: seconds(endpoint.createdMs),
  updated_at: seconds(endpoint.updatedMs),
  signing_secret_hint: endpoint.hint,
  old_signing_secret_expires_at: endpoint.oldSecret ? seconds(endpoint.oldSecret.untilMs) : null,
  enabled: endpoint.disabled === undefined,
  disabled_reason: endpoint.disabled?.reason ?? null,
  disabled_at: endpoint.disabled ? seconds(endpoint.disabled.atMs) : null,
  failing_since: endpoint.failingSinceMs === undefined ? null : seconds(endpoint.failingSinceMs),
});

type EndpointContext = Context<Environment, '/:id'>;

/** The id in the path. The built-in endpoint is no record: it says so instead of being unknown. */
const idOf = (c: EndpointContext): string => {
  const id = c.req.param('id');
  if (id !== DEFAULT_ENDPOINT) return id;
  const message = 'The endpoint default is built in, for the webhooks of single jobs and batches: only its secret and its deliveries can be read.';
  throw new AppError('invalid_request', message, { param: 'webhook_endpoint_id' });
};

/** With the secret; a replay by Idempotency-Key has it too, as the first answer may never have arrived. */
const create = async (deps: ApiDeps, c: Context<Environment>): Promise<Response> => {
  const { raw, body } = await readJson(c, MAX_BYTES);
  const { name, url, event_types: eventTypes } = parseWith(createSchema, body);
  const { tenant } = c.var.caller;
  const { object } = await createOnce(c, {
    deps,
    route: 'webhook_endpoints',
    rawBody: raw,
    id: newId('whe'),
    make: (id) => createEndpoint(deps, { id, tenant, name, url, eventTypes }),
    find: (id) => lookUpEndpoint(deps, tenant, id),
  });
  return c.json({ ...view(object), signing_secret: currentSecret(deps, object) });
};

const update = async (deps: ApiDeps, c: EndpointContext): Promise<Response> => {
  const id = idOf(c);
  const { body } = await readOptionalJson(c, MAX_BYTES);
  const { name, url, event_types: eventTypes, enabled } = parseWith(updateSchema, body);
  const changes = { ...(name !== undefined && { name }), ...(url !== undefined && { url }), ...(eventTypes && { eventTypes }), enabled };
  return c.json(view(await updateEndpoint(deps, c.var.caller.tenant, id, changes)));
};

const rotate = async (deps: ApiDeps, c: EndpointContext): Promise<Response> => {
  const id = idOf(c);
  const { body } = await readOptionalJson(c, MAX_BYTES);
  const keepOld = parseWith(rotateSchema, body).keep_old_secret_active_for_24_hours ?? false;
  const endpoint = await rotateSecret(deps, c.var.caller.tenant, id, keepOld);
  return c.json({ ...view(endpoint), signing_secret: currentSecret(deps, endpoint) });
};

/** `success` says that the receiver answered, as OpenAI has it; how it answered is `status_code`. One that did not answer is an error. */
const test = async (deps: ApiDeps, c: EndpointContext): Promise<Response> => {
  const id = idOf(c);
  const { body } = await readJson(c, MAX_BYTES);
  const { event_type: type } = parseWith(testSchema, body);
  const endpoint = await findEndpoint(deps, c.var.caller.tenant, id);
  const status = await testEndpoint(deps, endpoint, type);
  return c.json({ object: 'webhook_endpoint.test', status_code: status, success: true, event_type: type, webhook_endpoint_id: endpoint.id });
};

/** `/v1/webhook_endpoints`, and what can be read of the built-in endpoint `default`. */
export const webhookEndpointRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'webhooks'), limits(deps));

  routes.post('/', (c) => create(deps, c));
  routes.get('/', async (c) => {
    const { endpoints, hasMore } = await listEndpoints(deps, c.var.caller.tenant, parseWith(endpointListQuery, c.req.query()));
    return c.json(listPage(endpoints.map(view), hasMore));
  });
  routes.get(`/${DEFAULT_ENDPOINT}/secret`, async (c) => c.json({ object: 'webhook_secret', secret: await defaultSecret(deps, c.var.caller.tenant) }));
  routes.get('/:id', async (c) => c.json(view(await findEndpoint(deps, c.var.caller.tenant, idOf(c)))));
  routes.on(['POST', 'PATCH'], '/:id', (c) => update(deps, c));
  routes.delete('/:id', async (c) => {
    const id = idOf(c);
    await deleteEndpoint(deps, c.var.caller.tenant, id);
    return c.json({ id, object: 'webhook_endpoint.deleted', deleted: true });
  });
  routes.post('/:id/rotate_secret', (c) => rotate(deps, c));
  routes.post('/:id/test', (c) => test(deps, c));
  routes.get('/:id/deliveries', async (c) => listEndpointDeliveries(deps, c, c.req.param('id')));

  routes.all('/', allowOnly('GET', 'POST'));
  routes.all(`/${DEFAULT_ENDPOINT}/secret`, allowOnly('GET'));
  routes.all('/:id', allowOnly('GET', 'POST', 'PATCH', 'DELETE'));
  routes.all('/:id/rotate_secret', allowOnly('POST'));
  routes.all('/:id/test', allowOnly('POST'));
  routes.all('/:id/deliveries', allowOnly('GET'));
  return routes;
};

/** `/v1/webhook_event_types`. */
export const webhookEventTypeRoutes = (deps: Pick<ApiDeps, 'keys'>): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.get('/', authenticate(deps.keys, 'webhooks'), (c) => c.json({ object: 'list', data: WEBHOOK_EVENT_TYPES }));
  routes.all('/', allowOnly('GET'));
  return routes;
};

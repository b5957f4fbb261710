import { newId } from '@fana/core/ids.ts';
import { parseWith } from '@fana/core/parse.ts';
import { DELIVERY_STATUSES, type DeliveryRecord } from '@fana/core/webhooks/delivery.ts';
import { DEFAULT_ENDPOINT } from '@fana/core/webhooks/endpoint.ts';
import { listDeliveries } from '@fana/core/webhooks/list-deliveries.ts';
import { findEndpoint } from '@fana/core/webhooks/manage-endpoints.ts';
import { findDelivery, lookUpDelivery, redeliver } from '@fana/core/webhooks/redeliver.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { createOnce } from '../middleware/idempotency.ts';
import { limits } from '../middleware/limits.ts';

const deliveryListQuery = listQuery.extend({ status: z.enum(DELIVERY_STATUSES).optional() });

const nextAttemptAt = ({ status, nextAttemptMs, createdMs }: DeliveryRecord): number | null =>
  status === 'pending' ? Math.ceil((nextAttemptMs ?? createdMs) / 1000) : null;

const view = (delivery: DeliveryRecord) => ({
  id: delivery.id,
  object: 'webhook_delivery' as const,
  webhook_endpoint_id: delivery.spec.endpointId,
  event_id: delivery.spec.eventId,
  event_type: delivery.spec.type,
  // What the event is about: a job or a batch.
  subject_id: delivery.spec.subject,
  url: delivery.spec.url,
  status: delivery.status,
  failure_reason: delivery.failureReason ?? null,
  attempts: delivery.attempts.map(({ number, at, status, error, durationMs }) => ({
    number,
    attempted_at: at,
    status_code: status,
    error,
    duration_ms: durationMs,
  })),
  next_attempt_at: nextAttemptAt(delivery),
  redelivery_of: delivery.spec.redeliveryOf ?? null,
  created_at: Math.floor(delivery.createdMs / 1000),
});

/** `GET /v1/webhook_endpoints/{id}/deliveries`, for the built-in endpoint too. */
export const listEndpointDeliveries = async (deps: ApiDeps, c: Context<Environment>, endpointId: string): Promise<Response> => {
  const { tenant } = c.var.caller;
  const query = parseWith(deliveryListQuery, c.req.query());
  if (endpointId !== DEFAULT_ENDPOINT) await findEndpoint(deps, tenant, endpointId);
  const { deliveries, hasMore } = await listDeliveries(deps, { tenant, endpointId }, query);
  return c.json(listPage(deliveries.map(view), hasMore));
};

/** `/v1/webhook_deliveries`: read one, send it again. */
export const webhookDeliveryRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'webhooks'), limits(deps));

  routes.get('/:id', async (c) => c.json(view(await findDelivery(deps, c.var.caller.tenant, c.req.param('id')))));
  routes.post('/:id/redeliver', async (c) => {
    const { tenant } = c.var.caller;
    const original = await findDelivery(deps, tenant, c.req.param('id'));
    const { object } = await createOnce(c, {
      deps,
      route: 'webhook_deliveries',
      // There is no body: what is asked for is in the path.
      rawBody: original.id,
      id: newId('whd'),
      make: (id) => redeliver(deps, original, id),
      find: (id) => lookUpDelivery(deps, tenant, id),
    });
    c.header('Location', `/v1/webhook_deliveries/${object.id}`);
    return c.json(view(object), 202);
  });

  routes.all('/:id', allowOnly('GET'));
  routes.all('/:id/redeliver', allowOnly('POST'));
  return routes;
};

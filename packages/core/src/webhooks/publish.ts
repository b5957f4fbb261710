import type { Deps } from '../deps.ts';
import { newId } from '../ids.ts';
import type { Delivery, DeliverySpec } from './delivery.ts';
import { DEFAULT_ENDPOINT } from './endpoint.ts';
import { eventBody, type WebhookEventType } from './event.ts';
import type { Occasion } from './occasion.ts';

type Target = Pick<DeliverySpec, 'endpointId' | 'url'>;

/**
 * The deliveries that an end owes, to be written in the same step as the end itself (deliveries.lua) and then sent with `sendDeliveries`:
 * one for the URL that came with the job or batch, and one for every enabled endpoint of the tenant that asked for the event. All
 * deliveries of an event share its id and body.
 * @throws AppError `unavailable` when the tenant's endpoints are not known.
 */
export const prepareDeliveries = async (deps: Pick<Deps, 'endpoints' | 'now'>, occasion: Occasion): Promise<Delivery[]> => {
  const { tenant, subject, webhook, events } = occasion;
  const nowMs = deps.now();
  const endpoints = await deps.endpoints.find(tenant);
  const targetsOf = (type: WebhookEventType): Target[] => [
    ...(webhook?.events.includes(type) ? [{ endpointId: DEFAULT_ENDPOINT, url: webhook.url }] : []),
    ...endpoints.filter(({ eventTypes }) => eventTypes.includes(type)).map(({ id, url }) => ({ endpointId: id, url })),
  ];
  return events.flatMap(({ type, data }) => {
    const targets = targetsOf(type);
    if (targets.length === 0) return [];
    const eventId = newId('evt');
    const body = eventBody(eventId, type, data, nowMs);
    return targets.map((target) => {
      const spec: DeliverySpec = { tenant, ...target, eventId, type, subject, body };
      return { id: newId('whd'), endpointId: target.endpointId, spec: JSON.stringify(spec) };
    });
  });
};

/** Sends the messages of the first attempts, once the deliveries are written. The sweep does it for who died in between. */
export const sendDeliveries = async (deps: Pick<Deps, 'queues'>, deliveries: Pick<Delivery, 'id'>[]): Promise<void> => {
  if (deliveries.length === 0) return;
  await deps.queues.enqueue(deliveries.map(({ id }) => ({ queue: 'webhook', messageId: `${id}-1`, message: { id, run: 1 } })));
};

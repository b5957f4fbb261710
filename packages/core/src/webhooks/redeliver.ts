import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, newId } from '../ids.ts';
import type { DeliveryRecord } from './delivery.ts';
import { DEFAULT_ENDPOINT } from './endpoint.ts';
import { lookUpEndpoint } from './manage-endpoints.ts';
import { sendDeliveries } from './publish.ts';
import { insertRedelivery, readDelivery } from './store.ts';

/** A delivery of this tenant, of whichever endpoint. */
export const lookUpDelivery = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<DeliveryRecord | undefined> => {
  const delivery = isId('whd', id) ? await readDelivery(deps.redis, id) : undefined;
  return delivery?.spec.tenant === tenant ? delivery : undefined;
};

/** @throws AppError `not_found` also for a delivery of another tenant. */
export const findDelivery = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<DeliveryRecord> => {
  const delivery = await lookUpDelivery(deps, tenant, id);
  if (!delivery) throw new AppError('not_found', 'There is no such webhook delivery.');
  return delivery;
};

/**
 * Sends an event once more, whatever became of the delivery: a new one of the same event id and body, with a schedule of its own, to
 * where the endpoint is now and signed with the secret it has now.
 * @throws AppError `not_found` (also when the endpoint was deleted), `endpoint_disabled`.
 */
export const redeliver = async (deps: Pick<Deps, 'redis' | 'queues'>, original: DeliveryRecord, id: string = newId('whd')): Promise<DeliveryRecord> => {
  const { tenant, endpointId } = original.spec;
  let { url } = original.spec;
  if (endpointId !== DEFAULT_ENDPOINT) {
    const endpoint = await lookUpEndpoint(deps, tenant, endpointId);
    if (!endpoint) throw new AppError('not_found', 'The webhook endpoint of this delivery has been deleted.');
    if (endpoint.disabled) throw new AppError('endpoint_disabled', 'The webhook endpoint of this delivery is disabled: enable it first.');
    url = endpoint.url;
  }
  const written = await insertRedelivery(deps.redis, id, { ...original.spec, url, redeliveryOf: original.id });
  if (written) await sendDeliveries(deps, [{ id }]);
  return findDelivery(deps, tenant, id);
};

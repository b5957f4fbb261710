import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { DeliveryRecord, DeliveryStatus } from './delivery.ts';
import { endpointDeliveriesKey, readDeliveries, readDeliveryStatuses } from './store.ts';

/** Which of an endpoint's deliveries: at most `limit`, from the one after `after`, of one status or all. */
export type DeliveryQuery = { limit: number; after?: string | undefined; status?: DeliveryStatus | undefined };

/** A filter reads one field of this many records a round trip. */
const SCAN = 500;

/**
 * The deliveries of a tenant's endpoint, newest first. Those whose record is over are passed by.
 * @throws AppError `invalid_request` when `after` is not one of them.
 */
export const listDeliveries = async (
  deps: Pick<Deps, 'redis'>,
  { tenant, endpointId }: { tenant: string; endpointId: string },
  { limit, after, status }: DeliveryQuery,
): Promise<{ deliveries: DeliveryRecord[]; hasMore: boolean }> => {
  const index = endpointDeliveriesKey(tenant, endpointId);
  let start = 0;
  if (after !== undefined) {
    const rank = await deps.redis.zrevrank(index, after);
    if (rank === null) throw new AppError('invalid_request', 'after: there is no such delivery.', { param: 'after' });
    start = rank + 1;
  }
  const step = status === undefined ? limit + 1 : SCAN;
  const found: string[] = [];
  while (found.length <= limit) {
    const ids = await deps.redis.zrevrange(index, start, start + step - 1);
    const statuses = await readDeliveryStatuses(deps.redis, ids);
    found.push(...ids.filter((_, at) => statuses[at] !== null && (status === undefined || statuses[at] === status)));
    if (ids.length < step) break;
    start += step;
  }
  return { deliveries: await readDeliveries(deps.redis, found.slice(0, limit)), hasMore: found.length > limit };
};

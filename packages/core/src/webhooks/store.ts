import type { Redis } from 'ioredis';
import { DUE, ENDED } from '../jobs/store.ts';
import { loadScript } from '../redis.ts';
import type { DeliveryAttempt, DeliveryRecord, DeliveryStatus } from './delivery.ts';

const recordScript = loadScript(import.meta.url, './record-delivery.lua');
const deliveryKey = (id: string): string => `fana:delivery:${id}`;
/** Hash of what a delivery is about, a job or a batch: its kind is the prefix of its id. */
const ownerKey = (subject: string): string => `fana:${subject.slice(0, subject.indexOf('_'))}:${subject}`;
/** Zset of an endpoint's newest deliveries; score: unix ms of their beginning. */
export const endpointDeliveriesKey = (tenant: string, endpointId: string): string => `fana:tenant:${tenant}:deliveries:${endpointId}`;

/** The sweep looks for the message of a delivery this long after its time. */
const CHECK_MS = 10_000;
/** Ended deliveries stay readable for 30 days. */
const KEPT_SECONDS = 30 * 24 * 3600;

/** A delivery with its attempts; undefined when it is unknown or its time is over. */
export const readDelivery = async (redis: Redis, id: string): Promise<DeliveryRecord | undefined> => {
  const hash = await redis.hgetall(deliveryKey(id));
  if (hash['spec'] === undefined) return undefined;
  const attempts: DeliveryAttempt[] = [];
  for (let number = 1; number <= Number(hash['attempt_count'] ?? 0); number++) {
    const line = hash[`attempt:${number}`];
    if (line !== undefined) attempts.push(JSON.parse(line));
  }
  return {
    id,
    spec: JSON.parse(hash['spec']),
    status: hash['status'] as DeliveryStatus,
    attempts,
    createdMs: Number(hash['created_ms']),
    ...(hash['next_ms'] !== undefined && { nextAttemptMs: Number(hash['next_ms']) }),
  };
};

/** Writes down an attempt (undefined: the delivery is given up without one) and what follows from it. False: it was written down already (a doubled message). */
export const recordDelivery = async (
  redis: Redis,
  delivery: DeliveryRecord,
  attempt: DeliveryAttempt | undefined,
  after: { status: DeliveryStatus; nextAttemptMs?: number | undefined },
): Promise<boolean> =>
  (await recordScript(
    redis,
    [deliveryKey(delivery.id), DUE, ENDED, ownerKey(delivery.spec.subject), endpointDeliveriesKey(delivery.spec.tenant, delivery.spec.endpointId)],
    [
      delivery.id,
      delivery.attempts.length + 1,
      attempt ? JSON.stringify(attempt) : '',
      after.status,
      after.nextAttemptMs ?? '',
      CHECK_MS,
      delivery.spec.subject,
      KEPT_SECONDS,
    ],
  )) === 1;

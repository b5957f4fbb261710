import type { Redis } from 'ioredis';
import { execute, loadScript } from '../redis.ts';
import type { DeliveryAttempt, DeliveryRecord, DeliverySpec, DeliveryStatus, FailureReason } from './delivery.ts';
import { ENDPOINTS_CHANNEL, endpointKey } from './endpoint-store.ts';

const scripts = {
  record: loadScript(import.meta.url, './record-delivery.lua'),
  giveUp: loadScript(import.meta.url, './give-up-deliveries.lua'),
  redeliver: loadScript(import.meta.url, './redeliver.lua'),
};
const deliveryKey = (id: string): string => `fana:delivery:${id}`;
/** Hash of what a delivery is about, a job or a batch: its kind is the prefix of its id. */
const ownerKey = (subject: string): string => `fana:${subject.slice(0, subject.indexOf('_'))}:${subject}`;
/** Zset of an endpoint's newest deliveries; score: unix ms of their beginning. */
export const endpointDeliveriesKey = (tenant: string, endpointId: string): string => `fana:tenant:${tenant}:deliveries:${endpointId}`;

/** The sweep looks for the message of a delivery this long after its time. */
const CHECK_MS = 10_000;
/** Contract 6: an endpoint that was dead for so long is disabled. */
const DEAD_AFTER_MS = 5 * 24 * 3600 * 1000;
/** Deliveries that one step gives up. */
const GIVE_UP_STEP = 500;

const decodeDelivery = (id: string, hash: Record<string, string>): DeliveryRecord | undefined => {
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
    ...(hash['failure_reason'] !== undefined && { failureReason: hash['failure_reason'] as FailureReason }),
  };
};

/** A delivery with its attempts; undefined when it is unknown or its time is over. */
export const readDelivery = async (redis: Redis, id: string): Promise<DeliveryRecord | undefined> => decodeDelivery(id, await redis.hgetall(deliveryKey(id)));

/** Those of these deliveries that are still known, in their order. */
export const readDeliveries = async (redis: Redis, ids: string[]): Promise<DeliveryRecord[]> => {
  if (ids.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hgetall(deliveryKey(id));
  const hashes = (await execute(pipeline)) as Record<string, string>[];
  return ids.map((id, at) => decodeDelivery(id, hashes[at] ?? {})).filter((delivery) => delivery !== undefined);
};

/** The status of each of these deliveries; null for one that is not known any more. */
export const readDeliveryStatuses = async (redis: Redis, ids: string[]): Promise<(string | null)[]> => {
  if (ids.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hget(deliveryKey(id), 'status');
  return (await execute(pipeline)) as (string | null)[];
};

/** What follows from an attempt: how the receiver took it, where it was, and what becomes of the delivery. */
export type AfterAttempt = {
  answer: 'taken' | 'failed' | 'gone';
  url: string;
  status: DeliveryStatus;
  reason?: FailureReason | undefined;
  nextAttemptMs?: number | undefined;
  nowMs: number;
};

/**
 * Writes down an attempt and what follows from it, for its delivery and for its endpoint. `repeated`: it was written down already (a
 * doubled message). A delivery that was given up meanwhile stays so, unless the receiver took it. `disabled`: this attempt disabled the endpoint.
 */
export const recordDelivery = async (
  redis: Redis,
  { id, spec }: Pick<DeliveryRecord, 'id' | 'spec'>,
  attempt: DeliveryAttempt,
  { answer, url, status, reason, nextAttemptMs, nowMs }: AfterAttempt,
): Promise<'repeated' | 'recorded' | 'disabled'> => {
  const next = [status, reason ?? '', nextAttemptMs ?? '', CHECK_MS];
  const args = [id, spec.tenant, attempt.number, JSON.stringify(attempt), ...next, answer, url, nowMs, DEAD_AFTER_MS, ENDPOINTS_CHANNEL];
  const reply = await scripts.record(redis, [deliveryKey(id), endpointKey(spec.endpointId)], args);
  if (reply === 0) return 'repeated';
  return reply === 2 ? 'disabled' : 'recorded';
};

/** Ends a pending delivery without a further attempt. */
export const giveUpDelivery = async (redis: Redis, { id, spec, attempts }: DeliveryRecord, reason: FailureReason): Promise<void> => {
  const args = [id, spec.tenant, attempts.length + 1, '', 'failed', reason, '', '', '', '', '', '', ''];
  await scripts.record(redis, [deliveryKey(id), endpointKey(spec.endpointId)], args);
};

/** Ends every pending delivery that an endpoint lists. One that is written meanwhile, or is not listed, ends at its next attempt. */
export const giveUpDeliveries = async (redis: Redis, tenant: string, endpointId: string, reason: FailureReason): Promise<void> => {
  const index = endpointDeliveriesKey(tenant, endpointId);
  for (let start = 0; ; start += GIVE_UP_STEP) {
    const seen = (await scripts.giveUp(redis, [index], [tenant, start, start + GIVE_UP_STEP - 1, reason])) as number;
    if (seen < GIVE_UP_STEP) return;
  }
};

/** Writes a delivery that repeats another. False: that one is gone. */
export const insertRedelivery = async (redis: Redis, id: string, spec: DeliverySpec & { redeliveryOf: string }): Promise<boolean> =>
  (await scripts.redeliver(
    redis,
    [deliveryKey(spec.redeliveryOf), ownerKey(spec.subject)],
    [id, spec.tenant, spec.endpointId, spec.subject, JSON.stringify(spec)],
  )) === 1;

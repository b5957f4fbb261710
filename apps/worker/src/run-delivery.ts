import type { Deps } from '@fana/core/deps.ts';
import type { JobMessage } from '@fana/core/queues.ts';
import { type DeliveryOutcome, deliver } from '@fana/core/webhooks/deliver.ts';
import type { DeliveryRecord, FailureReason } from '@fana/core/webhooks/delivery.ts';
import { nextDelayMs } from '@fana/core/webhooks/schedule.ts';
import { type AfterAttempt, giveUpDeliveries, giveUpDelivery, readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import { findTarget, type Target } from '@fana/core/webhooks/target.ts';
import type { OriginSlots } from './origin-slots.ts';
import type { MessageFate } from './run-end.ts';

type Plan = Pick<AfterAttempt, 'answer' | 'reason'> & ({ status: 'delivered' | 'failed' } | { status: 'pending'; delayMs: number });

/** What follows from an attempt: delivered, given up, or another after a delay. */
const plan = ({ attempt, retryAfterMs }: DeliveryOutcome): Plan => {
  if (attempt.status !== null && attempt.status >= 200 && attempt.status < 300) return { answer: 'taken', status: 'delivered' };
  // 410 Gone: this receiver wants nothing more. It disables an endpoint; of the URL of one job or batch it ends that delivery.
  if (attempt.status === 410) return { answer: 'gone', status: 'failed', reason: 'receiver_gone' };
  const delayMs = nextDelayMs(attempt.number, retryAfterMs);
  if (delayMs === undefined) return { answer: 'failed', status: 'failed', reason: 'attempts_exhausted' };
  return { answer: 'failed', status: 'pending', delayMs };
};

/** A delivery whose receiver has enough to answer comes back after this and up to as much again, so that not all of them come at once. */
const BUSY_AGAIN_MS = 1000;

/**
 * The story of one delivery attempt: read → POST → write down → message of the next attempt.
 * Dying before the writing sends the same attempt again (deliveries may repeat, their event id does not); dying after it, the sweep
 * sends the message of the next one. `run` of the message is the number of the attempt.
 */
export const runDelivery = async (deps: Deps, slots: OriginSlots, message: JobMessage): Promise<MessageFate> => {
  const delivery = await readDelivery(deps.redis, message.id);
  if (delivery?.status !== 'pending' || delivery.attempts.length !== message.run - 1) return {};
  const target = await findTarget(deps, delivery.spec);
  if (typeof target === 'string') {
    await giveUpDelivery(deps.redis, delivery, target);
    logGivenUp(deps, delivery, target);
    return {};
  }
  const giveBack = slots.take(target.url);
  if (!giveBack) return { againInMs: Math.round(BUSY_AGAIN_MS * (1 + Math.random())) };
  const outcome = await deliver(deps, delivery, target).finally(giveBack);
  await settle(deps, delivery, target, outcome);
  return {};
};

/** Writes an attempt down and does what follows from it. */
const settle = async (deps: Deps, delivery: DeliveryRecord, { url }: Target, outcome: DeliveryOutcome): Promise<void> => {
  const { id, spec } = delivery;
  const next = plan(outcome);
  const nowMs = deps.now();
  const nextAttemptMs = next.status === 'pending' ? Math.round(nowMs + next.delayMs) : undefined;
  const { answer, status, reason } = next;
  const written = await recordDelivery(deps.redis, delivery, outcome.attempt, { answer, url, status, reason, nextAttemptMs, nowMs });
  if (reason !== undefined) logGivenUp(deps, delivery, reason);
  if (written === 'disabled') {
    deps.endpoints.forget(spec.tenant);
    deps.logger.warn({ endpoint_id: spec.endpointId, answer }, 'a webhook endpoint was disabled');
    await giveUpDeliveries(deps.redis, spec.tenant, spec.endpointId, 'endpoint_disabled');
  }
  // One that was given up meanwhile has a message for nothing: its next turn finds it ended.
  if (written === 'recorded' && next.status === 'pending') {
    const run = outcome.attempt.number + 1;
    await deps.queues.enqueue([{ queue: 'webhook', messageId: `${id}-${run}`, message: { id, run }, delayMs: next.delayMs }]);
  }
};

const logGivenUp = (deps: Deps, { id }: DeliveryRecord, reason: FailureReason): void => deps.logger.warn({ delivery_id: id, reason }, 'a webhook was given up');

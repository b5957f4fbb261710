import type { Deps } from '@fana/core/deps.ts';
import type { JobMessage } from '@fana/core/queues.ts';
import { type DeliveryOutcome, deliver } from '@fana/core/webhooks/deliver.ts';
import { nextDelayMs } from '@fana/core/webhooks/schedule.ts';
import { readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import type { OriginSlots } from './origin-slots.ts';
import type { MessageFate } from './run-end.ts';

/** What follows from an attempt: delivered, given up, or another after a delay. */
const plan = ({ attempt, retryAfterMs }: DeliveryOutcome): { status: 'delivered' | 'failed' } | { status: 'pending'; delayMs: number } => {
  if (attempt.status !== null && attempt.status >= 200 && attempt.status < 300) return { status: 'delivered' };
  // 410 Gone: this receiver wants nothing more (of a per-job URL it ends that delivery).
  if (attempt.status === 410) return { status: 'failed' };
  const delayMs = nextDelayMs(attempt.number, retryAfterMs);
  return delayMs === undefined ? { status: 'failed' } : { status: 'pending', delayMs };
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
  const giveBack = slots.take(delivery.spec.url);
  if (!giveBack) return { againInMs: Math.round(BUSY_AGAIN_MS * (1 + Math.random())) };
  const outcome = await deliver(deps, delivery).finally(giveBack);
  const next = plan(outcome);
  const nextAttemptMs = next.status === 'pending' ? Math.round(deps.now() + next.delayMs) : undefined;
  const written = await recordDelivery(deps.redis, delivery, outcome.attempt, { status: next.status, nextAttemptMs });
  if (written && next.status === 'pending') {
    const run = message.run + 1;
    await deps.queues.enqueue([{ queue: 'webhook', messageId: `${message.id}-${run}`, message: { id: message.id, run }, delayMs: next.delayMs }]);
  }
  if (next.status === 'failed') deps.logger.warn({ delivery_id: delivery.id, status: outcome.attempt.status }, 'a webhook was given up');
  return {};
};

import { isEnded } from '@fana/core/batches/batch.ts';
import { eraseBatch } from '@fana/core/batches/erase.ts';
import { resendBatch } from '@fana/core/batches/messages.ts';
import { BATCH_CHECK_MS, readBatch, stopBatch } from '@fana/core/batches/store.ts';
import { BLOB_EXPIRY, removeBlobs } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { toAppError } from '@fana/core/errors.ts';
import { expireFile, FILE_EXPIRY } from '@fana/core/files/store.ts';
import { isId } from '@fana/core/ids.ts';
import { messageOf } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { deadlineMs, isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { DUE, ENDED, RUNNING_BAND_MS, readJob, restWaiting } from '@fana/core/jobs/store.ts';
import { tidyMessage } from '@fana/core/retrieval/tidy.ts';
import { sweepSession } from '@fana/core/sessions/erase-session.ts';
import { SESSIONS } from '@fana/core/sessions/store.ts';
import { readDelivery } from '@fana/core/webhooks/store.ts';
import { DEADLINE_EXCEEDED } from './verdict.ts';

/** How often a sweep is due: the whole repair of a dead worker's job stays under the 20 s of promise 1. */
export const SWEEP_EVERY_MS = 2000;

/** Records looked at together in one round; rounds follow each other while there are more. */
const ROUND = 200;
/** One sweep spends about this long on each of its walks; what it does not reach is first at the next. */
const WALK_MS = 1000;
/** A queued job or delivery whose message was sent again is looked at again after half its age, within these bounds: a deep backlog is not re-sent all the time. */
const AGAIN_MIN_MS = 10_000;
const AGAIN_MAX_MS = 300_000;

/**
 * Mends every gap between two steps: a record without a message, a lease that ran out, an event not published, a deadline that passed in
 * the queue; and removes what has expired. Each repair is safe to repeat: a message that is there already is left alone.
 */
export const sweep = async (deps: Deps): Promise<void> => {
  await sweepDue(deps);
  await sweepExpiredJobs(deps);
  await sweepSessions(deps);
  await sweepExpiredFiles(deps);
  await sweepExpiredBlobs(deps);
};

const sweepDue = async (deps: Deps): Promise<void> => {
  const mend = (id: string): Promise<void> => {
    if (isId('whd', id)) return mendDelivery(deps, id);
    if (isId('batch', id)) return mendBatch(deps, id);
    return isId('col', id) ? mendCollection(deps, id) : mendJob(deps, id);
  };
  await walk(deps, DUE, (nowMs) => ['-inf', nowMs - RUNNING_BAND_MS], mend);
  await walk(deps, DUE, (nowMs) => [0, nowMs], mend);
};

type Range = [from: number | string, to: number];

/** Mends what an index holds in a range of scores, in rounds of one group each. A mended record leaves the range. */
const walk = async (deps: Deps, index: string, range: (nowMs: number) => Range, mend: (id: string) => Promise<void>): Promise<void> => {
  const untilMs = performance.now() + WALK_MS;
  for (;;) {
    const ids = await deps.redis.zrangebyscore(index, ...range(deps.now()), 'LIMIT', 0, ROUND);
    await Promise.all(ids.map((id) => guarded(deps, { index, id }, () => mend(id))));
    if (ids.length < ROUND || performance.now() > untilMs) return;
  }
};

/** Where a record stands in one of the indexes the sweep walks (score: unix ms of its next look). */
type Place = { index: string; id: string };

/** One broken record must not keep the sweep from the others: it is logged, and looked at again later. */
const guarded = async (deps: Deps, place: Place, mend: () => Promise<void>): Promise<void> => {
  try {
    await mend();
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code === 'unavailable') throw error;
    deps.logger.error({ err: thrown, id: place.id }, 'the sweep could not mend a record');
    await lookAgain(deps, place, deps.now() + AGAIN_MAX_MS);
  }
};

/** XX: what has left the index meanwhile stays out of it. */
const lookAgain = (deps: Deps, { index, id }: Place, atMs: number): Promise<unknown> => deps.redis.zadd(index, 'XX', Math.round(atMs), id);

const mendJob = async (deps: Deps, id: string): Promise<void> => {
  const job = await readJob(deps.redis, id);
  if (!job || isTerminal(job.status)) {
    await deps.redis.zrem(DUE, id);
    return;
  }
  const nowMs = deps.now();
  const deadline = deadlineMs(job);
  if (job.status === 'queued' && deadline !== undefined && deadline <= nowMs) {
    await endJob(deps, job, { status: 'failed', lease: '', error: DEADLINE_EXCEEDED });
    return;
  }
  if (job.isWaiting) {
    await restWaiting(deps.redis, id, deadline);
    return;
  }
  const { priority, ...message } = messageOf(id, job.run, job.spec, (job.spec.runAtMs ?? 0) - nowMs);
  // The job of a dead worker is not to wait behind the whole backlog once more: without a priority it is served first.
  await deps.queues.enqueue([job.status === 'queued' && priority !== undefined ? { ...message, priority } : message]);
  await lookAgain(deps, { index: DUE, id }, Math.min(nextLook(job, nowMs), deadline ?? Number.POSITIVE_INFINITY));
};

const nextLook = (job: JobRecord, nowMs: number): number => {
  if (job.status !== 'queued') return nowMs + AGAIN_MIN_MS / 2 - RUNNING_BAND_MS;
  return nowMs + againAfter(nowMs - (job.queuedMs ?? job.createdMs));
};

const againAfter = (waitedMs: number): number => Math.min(AGAIN_MAX_MS, Math.max(AGAIN_MIN_MS, waitedMs / 2));

/** Sends what a batch waits for once more, and ends its time. It is looked at in every round while it has not ended: there are few of them. */
const mendBatch = async (deps: Deps, id: string): Promise<void> => {
  const batch = await readBatch(deps, id);
  if (!batch || isEnded(batch.status)) {
    await deps.redis.zrem(DUE, id);
    return;
  }
  const nowMs = deps.now();
  if (nowMs >= batch.spec.expiresMs && batch.stop === undefined) await stopBatch(deps, id, 'expired');
  await resendBatch(deps, batch);
  const next = nowMs >= batch.spec.expiresMs ? nowMs + BATCH_CHECK_MS : Math.min(nowMs + BATCH_CHECK_MS, batch.spec.expiresMs);
  await lookAgain(deps, { index: DUE, id }, next - RUNNING_BAND_MS);
};

/** Asks for the tidying of a collection (again), for as long as it stands among what is due. */
const mendCollection = async (deps: Deps, id: string): Promise<void> => {
  await deps.queues.enqueue([tidyMessage(deps, id)]);
  await lookAgain(deps, { index: DUE, id }, deps.now() + AGAIN_MIN_MS);
};

const mendDelivery = async (deps: Deps, id: string): Promise<void> => {
  const delivery = await readDelivery(deps.redis, id);
  if (delivery?.status !== 'pending') {
    await deps.redis.zrem(DUE, id);
    return;
  }
  const run = delivery.attempts.length + 1;
  const nowMs = deps.now();
  await deps.queues.enqueue([{ queue: 'webhook', messageId: `${id}-${run}`, message: { id, run }, delayMs: (delivery.nextAttemptMs ?? 0) - nowMs }]);
  await lookAgain(deps, { index: DUE, id }, nowMs + againAfter(nowMs - (delivery.nextAttemptMs ?? delivery.createdMs)));
};

const sweepExpiredJobs = (deps: Deps): Promise<void> =>
  walk(
    deps,
    ENDED,
    (nowMs) => ['-inf', nowMs],
    (id) => eraseExpired(deps, id),
  );

const eraseExpired = async (deps: Deps, id: string): Promise<void> => {
  if (isId('batch', id)) {
    const batch = await readBatch(deps, id);
    if (batch) await eraseBatch(deps, batch);
    else await deps.redis.zrem(ENDED, id);
    return;
  }
  const job = await readJob(deps.redis, id);
  // One that is not at its end was retried a moment ago, which took it out of the index already.
  if (job && isTerminal(job.status)) await eraseJob(deps, job, { expired: true });
  if (!job) await deps.redis.zrem(ENDED, id);
};

const sweepSessions = (deps: Deps): Promise<void> =>
  walk(
    deps,
    SESSIONS,
    (nowMs) => ['-inf', nowMs],
    (id) => sweepSession(deps, id),
  );

const sweepExpiredBlobs = (deps: Deps): Promise<void> =>
  walk(
    deps,
    BLOB_EXPIRY,
    (nowMs) => ['-inf', nowMs],
    (id) => removeBlobs(deps, [id]),
  );

const sweepExpiredFiles = (deps: Deps): Promise<void> =>
  walk(
    deps,
    FILE_EXPIRY,
    (nowMs) => ['-inf', nowMs],
    (id) => expireFile(deps, id),
  );

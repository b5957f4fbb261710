import { saveBlob } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import { type Ending, endJob } from '@fana/core/jobs/end.ts';
import { type Attempt, type AttemptOutcome, countedAttempts, deadlineMs, type JobError, type JobRecord, MAX_ATTEMPTS } from '@fana/core/jobs/job.ts';
import { keptPictures } from '@fana/core/jobs/kept-pictures.ts';
import { readInput } from '@fana/core/jobs/long-texts.ts';
import { beginAttempt, claimJob, releaseJob, settleAttempt } from '@fana/core/jobs/store.ts';
import type { JobMessage } from '@fana/core/queues.ts';
import { detectLanguage } from '@fana/core/triggers/language.ts';
import type { Hold, LeaseKeeper } from './leases.ts';
import { createOutputStream, type OutputStream } from './output-stream.ts';
import { PROCESSORS } from './processors/index.ts';
import type { ProcessResult, Run } from './processors/processor.ts';
import { judge, toJobError, UNKNOWN_OUTCOME } from './verdict.ts';

/** What the queue is to do with the message: nothing more, or bring it again later. */
export type MessageFate = { againInMs?: number };
const DONE: MessageFate = {};

/** Results longer than this live in the blob store (design 1). */
const INLINE_RESULT_BYTES = 32_768;

/**
 * The story of one go at a job: claim → process → finish. It can die at any line:
 * before the claim, the message comes again; after it, the lease ends and someone else claims; after `finish`, the record has its end,
 * its event and its outbox line in one step. Every provider call is in the ledger before it is made.
 */
export const runJob = async (deps: Deps, keeper: LeaseKeeper, message: JobMessage): Promise<MessageFate> => {
  const lease = newId('lease');
  const claim = await claimJob(deps.redis, message.id, message.run, lease);
  if (claim.kind === 'gone' || claim.kind === 'stale') return DONE;
  // Another worker holds it: this copy of the message waits for the end of that lease, it is never completed (promise 1).
  if (claim.kind === 'leased') return { againInMs: Math.max(100, claim.untilMs - deps.now() + 50) };
  const hold = keeper.hold(claim.job.id, lease);
  const deadline = deadlineMs(claim.job);
  const timer = deadline === undefined ? undefined : setTimeout(() => hold.stop('deadline'), Math.min(deadline - deps.now(), 2 ** 31 - 1));
  try {
    return await runClaimed(deps, claim.job, hold);
  } finally {
    clearTimeout(timer);
    hold.drop();
  }
};

const runClaimed = async (deps: Deps, job: JobRecord, hold: Hold): Promise<MessageFate> => {
  const refusal = refuseToRun(job, deps.now());
  if (refusal) {
    await end(deps, job, { ...refusal, lease: hold.lease });
    return DONE;
  }
  const attempts = [...job.attempts];
  const output = createOutputStream(deps.redis, job.id, hold.lease, () => hold.stop('lost'));
  try {
    const input = await readInput(deps, job.spec);
    job.language = detectLanguage(input.text).language;
    const run: Run = {
      job,
      input,
      pictures: keptPictures(deps.redis, job, hold.lease),
      signal: hold.signal,
      emit: output.write,
      call: caller(deps, job, hold, attempts, output),
    };
    const result = await PROCESSORS[job.spec.type](deps, run);
    await complete(deps, job, hold, result, await output.close());
    return DONE;
  } catch (thrown) {
    // What was not published is dropped with the attempt; why the run failed matters more than why a piece of it could not be published.
    await output.close().catch(() => undefined);
    return await fail(deps, job, hold, attempts, toAppError(thrown));
  }
};

/** Why a claimed job must not call a provider (again). */
const refuseToRun = (job: JobRecord, nowMs: number): Omit<Ending, 'lease'> | undefined => {
  if (job.cancelRequested) return { status: 'cancelled' };
  if (job.spec.type === 'image' && job.attempts.some(({ outcome }) => outcome === 'unknown')) return { status: 'unknown_outcome', error: UNKNOWN_OUTCOME };
  const deadline = deadlineMs(job);
  if (deadline !== undefined && deadline <= nowMs) return { status: 'failed', error: DEADLINE_EXCEEDED };
  if (countedAttempts(job.attempts) >= MAX_ATTEMPTS) return { status: 'failed', error: exhausted(job.attempts) };
  return undefined;
};

const DEADLINE_EXCEEDED: JobError = { code: 'deadline_exceeded', message: 'The job did not end before its deadline.' };
const exhausted = (attempts: Attempt[]): JobError => ({
  code: 'attempts_exhausted',
  message: `All ${MAX_ATTEMPTS} attempts were used up. The last one: ${attempts.at(-1)?.error?.message ?? 'no error was written down.'}`,
});

/** Makes provider calls, each with its line in the ledger first. */
const caller =
  (deps: Deps, job: JobRecord, hold: Hold, attempts: Attempt[], output: OutputStream): Run['call'] =>
  async (targets, call) => {
    for (const [at, target] of targets.entries()) {
      const begun = await beginAttempt(deps.redis, job.id, hold.lease, target.provider.name, target.model);
      if (begun.kind === 'lost') hold.stop('lost');
      if (begun.kind === 'cancelling') hold.stop('cancel');
      if (begun.kind !== 'begun') throw new AppError('lease_lost', 'The run was stopped before its call.');
      const open: Attempt = {
        number: begun.number,
        provider: target.provider.name,
        model: target.model,
        startedAt: deps.now() / 1000,
        finishedAt: null,
        outcome: null,
        error: null,
      };
      attempts.push(open);
      output.restart(begun.number);
      try {
        hold.signal.throwIfAborted();
        return { result: await call(target, hold.signal), target };
      } catch (thrown) {
        const error = toAppError(thrown);
        if (error.code !== 'provider_model_missing' || at === targets.length - 1) throw error;
        // The account lacks this model: remembered, so that the next job asks its successor first.
        deps.providers.noteMissing(target.provider.name, target.model);
        open.outcome = 'failed';
        await settleAttempt(deps.redis, job.id, hold.lease, 'failed', toJobError(error));
      }
    }
    throw new AppError('model_not_available', 'No provider serves this model.', { param: 'model' });
  };

const complete = async (deps: Deps, job: JobRecord, hold: Hold, result: ProcessResult, lastDelta: string): Promise<void> => {
  const fields: Record<string, string | number> = { usage: JSON.stringify(result.usage), served_by: JSON.stringify(result.servedBy) };
  const output = JSON.stringify(result.output);
  if (output.length > INLINE_RESULT_BYTES) {
    const blob = await saveBlob(deps, { tenant: job.spec.tenant, bytes: Buffer.from(output), mediaType: 'application/json' });
    fields['output_blob'] = blob.id;
  } else {
    fields['output'] = output;
  }
  if (result.costUsd !== undefined) fields['cost_usd'] = result.costUsd;
  if (result.sources) fields['sources'] = JSON.stringify(result.sources);
  const warnings = job.earlierCalls > 0 ? [...result.warnings, earlierCallsWarning(job)] : result.warnings;
  if (warnings.length > 0) fields['result_warnings'] = JSON.stringify(warnings);
  await end(deps, job, { status: 'completed', lease: hold.lease, attempt: { outcome: 'completed' }, lastDelta, fields });
};

const earlierCallsWarning = (job: JobRecord): string => `Earlier runs of this job made ${job.earlierCalls} provider call${job.earlierCalls === 1 ? '' : 's'}.`;

const fail = async (deps: Deps, job: JobRecord, hold: Hold, attempts: Attempt[], error: AppError): Promise<MessageFate> => {
  const reason = hold.reason();
  if (reason === 'lost') return DONE;
  if (error.code === 'internal_error') deps.logger.error({ err: error.cause ?? error, job_id: job.id }, 'job failed on our side');
  if (reason) return stopped(deps, job, hold, attempts, error, reason);
  const verdict = judge(job, attempts, error, deps.now());
  const attempt = openAttempt(attempts) ? { outcome: verdict.outcome, error: toJobError(error) } : undefined;
  if (verdict.kind === 'retry') return release(deps, job, hold, verdict.delayMs, attempt);
  await end(deps, job, { status: verdict.status, lease: hold.lease, error: verdict.error, ...(attempt && { attempt }) });
  return DONE;
};

const openAttempt = (attempts: Attempt[]): Attempt | undefined => attempts.find(({ outcome }) => outcome === null);

/** Ends or gives back a run that was told to stop. A request that was sent and not answered in full is of unknown outcome for pictures (promise 2). */
const stopped = async (
  deps: Deps,
  job: JobRecord,
  hold: Hold,
  attempts: Attempt[],
  error: AppError,
  reason: 'cancel' | 'deadline' | 'shutdown',
): Promise<MessageFate> => {
  const open = openAttempt(attempts);
  const sent = open !== undefined && error.provider?.outcome === 'unknown';
  const outcome: AttemptOutcome = sent && job.spec.type === 'image' ? 'unknown' : 'cancelled';
  const attempt = open && { outcome };
  if (reason === 'shutdown') {
    if (outcome !== 'unknown') return release(deps, job, hold, 0, attempt);
    await end(deps, job, { status: 'unknown_outcome', lease: hold.lease, error: UNKNOWN_OUTCOME, ...(attempt && { attempt }) });
    return DONE;
  }
  const ending: Omit<Ending, 'lease'> = reason === 'cancel' ? { status: 'cancelled' } : { status: 'failed', error: DEADLINE_EXCEEDED };
  await end(deps, job, { ...ending, lease: hold.lease, ...(attempt && { attempt }) });
  return DONE;
};

const release = async (
  deps: Deps,
  job: JobRecord,
  hold: Hold,
  delayMs: number,
  attempt: { outcome: AttemptOutcome; error?: JobError } | undefined,
): Promise<MessageFate> => {
  // A pause never outlasts the deadline: the job is to fail then, not later.
  const deadline = deadlineMs(job);
  const againInMs = deadline === undefined ? delayMs : Math.max(0, Math.min(delayMs, deadline - deps.now()));
  const released = await releaseJob(deps.redis, { id: job.id, lease: hold.lease, delayMs: againInMs, ...(attempt && { attempt }) });
  if (released === 'released') return { againInMs };
  if (released === 'cancelling') await end(deps, job, { status: 'cancelled', lease: hold.lease, ...(attempt && { attempt }) });
  return DONE;
};

const end = async (deps: Deps, job: JobRecord, ending: Ending): Promise<void> => {
  const reply = await endJob(deps, job, ending);
  if (reply.kind === 'lost') deps.logger.warn({ job_id: job.id, status: reply.status }, 'a late finisher was refused');
  else deps.logger.debug({ job_id: job.id, status: ending.status }, 'job ended');
};

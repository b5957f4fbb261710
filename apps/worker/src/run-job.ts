import type { Deps } from '@fana/core/deps.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import type { Ending } from '@fana/core/jobs/end.ts';
import { type Attempt, countedAttempts, deadlineMs, type JobError, type JobRecord, MAX_ATTEMPTS } from '@fana/core/jobs/job.ts';
import { keptPictures } from '@fana/core/jobs/kept-pictures.ts';
import { readInput, readParameters } from '@fana/core/jobs/long-texts.ts';
import { beginAttempt, claimJob, settleAttempt } from '@fana/core/jobs/store.ts';
import { paced } from '@fana/core/providers/pacing/paced.ts';
import type { CallOptions, Target } from '@fana/core/providers/provider.ts';
import type { JobMessage } from '@fana/core/queues.ts';
import { detectLanguage } from '@fana/core/triggers/language.ts';
import { finishAside, keptResult, setAside } from './aside-run.ts';
import type { Hold, LeaseKeeper } from './leases.ts';
import { createOutputStream, type OutputStream } from './output-stream.ts';
import { persist } from './persist.ts';
import { PROCESSORS } from './processors/index.ts';
import type { Run } from './processors/processor.ts';
import { type ClaimedRun, completeRun, DONE, endRun, failRun, type MessageFate } from './run-end.ts';
import { openSession, turnEnd } from './session-run.ts';
import { DEADLINE_EXCEEDED, toJobError, UNKNOWN_OUTCOME } from './verdict.ts';

/**
 * The story of one go at a job: claim → process → finish. It can die at any line:
 * before the claim, the message comes again; after it, the lease ends and someone else claims; after `finish`, the record has its end,
 * its event and its outbox line in one step. Every provider call is in the ledger before it is made.
 */
export const runJob = async (deps: Deps, keeper: LeaseKeeper, message: JobMessage): Promise<MessageFate> => {
  const lease = newId('lease');
  const claim = await claimJob(deps.redis, message.id, message.run, lease);
  if (claim.kind === 'gone' || claim.kind === 'stale') return DONE;
  // Another worker holds it: this copy of the message waits for the end of that lease, it is never completed (promise 1). Should that
  // worker be dead, its job is not to wait behind the whole backlog once more.
  if (claim.kind === 'leased') return { againInMs: Math.max(100, claim.untilMs - deps.now() + 50), place: 'first' };
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
  const claimed: ClaimedRun = { job, hold, attempts: [...job.attempts], isAnswered: false };
  const kept = keptResult(job);
  if (kept && !job.cancelRequested) return finishAside(deps, claimed, kept);
  const refusal = refuseToRun(job, deps.now());
  if (refusal) {
    await endRun(deps, claimed, refusal);
    return DONE;
  }
  const output = createOutputStream(deps.redis, job.id, hold.lease, () => hold.stop('lost'));
  try {
    const input = await readInput(deps, job.spec);
    job.spec.parameters = await readParameters(deps, job.spec);
    const detected = detectLanguage(input.text);
    job.language = detected.language;
    const session = await openSession(deps, claimed, input, detected);
    const run: Run = {
      job,
      input,
      ...(session && { session }),
      pictures: keptPictures(deps.redis, job, hold.lease),
      signal: hold.signal,
      emit: output.write,
      call: caller(deps, claimed, output),
      settle: () => settleOpen(deps, claimed, 'completed'),
      persist: (step) => persist(hold, step),
    };
    const result = await PROCESSORS[job.spec.type](deps, run);
    const turn = session && (await turnEnd(session, job, input, result.output));
    const whole = { ...result, ...(turn && { turn }), warnings: [...result.warnings, ...(session?.warnings ?? [])] };
    const lastDelta = await output.close();
    if (result.asideBlobIds) return await setAside(deps, claimed, whole);
    await completeRun(deps, claimed, whole, lastDelta);
    return DONE;
  } catch (thrown) {
    // What was not published is dropped with the attempt; why the run failed matters more than why a piece of it could not be published.
    await output.close().catch(() => undefined);
    return await failRun(deps, claimed, toAppError(thrown));
  }
};

/** Why a claimed job must not call a provider (again). */
const refuseToRun = (job: JobRecord, nowMs: number): Omit<Ending, 'lease'> | undefined => {
  if (job.cancelRequested) return { status: 'cancelled' };
  if (job.spec.type === 'image' && job.attempts.some(({ outcome }) => outcome === 'unknown')) return { status: 'unknown_outcome', error: UNKNOWN_OUTCOME };
  const deadline = deadlineMs(job);
  if (deadline !== undefined && deadline <= nowMs) return { status: 'failed', error: DEADLINE_EXCEEDED };
  if (countedAttempts(job.attempts, job.spec.type) >= MAX_ATTEMPTS) return { status: 'failed', error: exhausted(job.attempts) };
  return undefined;
};

const exhausted = (attempts: Attempt[]): JobError => ({
  code: 'attempts_exhausted',
  message: `All ${MAX_ATTEMPTS} attempts were used up. The last one: ${attempts.at(-1)?.error?.message ?? 'no error was written down.'}`,
});

/** A run gives its slot back when its turn is further away than this (contract: waiting holds no slot for long). */
const MAX_TURN_MS = 5000;

/** Makes provider calls, each when it is its turn and with its line in the ledger first. */
const caller =
  (deps: Deps, run: ClaimedRun, output: OutputStream): Run['call'] =>
  async (targets, call) => {
    for (const [at, target] of targets.entries()) {
      try {
        const result = await inTurn(deps, run, target, async (options) => {
          const open = await openAttempt(deps, run, target);
          output.restart(open.number);
          if (options.signal.aborted) throw new AppError('cancelled', 'The run was stopped before its call.', { provider: { outcome: 'not_sent' } });
          return await call(target, options);
        });
        run.isAnswered = true;
        return { result, target };
      } catch (thrown) {
        const error = toAppError(thrown);
        if (error.code !== 'provider_model_missing' || at === targets.length - 1) throw error;
        // The account lacks this model: remembered, so that the next job asks its successor first.
        deps.providers.noteMissing(target.provider.name, target.model);
        await settleOpen(deps, run, 'failed', error);
      }
    }
    throw new AppError('model_not_available', 'No provider serves this model.', { param: 'model' });
  };

/** Waiting costs no attempt; how long it took is kept on the record. @throws AppError `provider_paused` when it would hold its slot for too long. */
const inTurn = async <T>(deps: Deps, { job, hold }: ClaimedRun, { provider, model }: Target, call: (options: CallOptions) => Promise<T>): Promise<T> => {
  const askedMs = deps.now();
  const { type, parameters } = job.spec;
  const images = type !== 'image' ? 0 : typeof parameters['n'] === 'number' ? parameters['n'] : 1;
  let isWaiting = true;
  const noteWait = (): void => {
    if (isWaiting) job.waitedMs = (job.waitedMs ?? 0) + deps.now() - askedMs;
    isWaiting = false;
  };
  const wanted = {
    provider: provider.name,
    model,
    class: type === 'ingest' ? 'batch' : 'interactive',
    images,
    maxWaitMs: MAX_TURN_MS,
    signal: hold.signal,
  } as const;
  try {
    return await paced(deps.pacer, wanted, (options) => {
      noteWait();
      return call(options);
    });
  } finally {
    noteWait();
  }
};

/** Writes the line of a call into the ledger. @throws AppError `lease_lost` when the run is not to go on. */
const openAttempt = async (deps: Deps, { job, hold, attempts }: ClaimedRun, { provider, model }: Target): Promise<Attempt> => {
  const begun = await beginAttempt(deps.redis, job.id, hold.lease, provider.name, model);
  if (begun.kind === 'lost') hold.stop('lost');
  if (begun.kind === 'cancelling') hold.stop('cancel');
  if (begun.kind !== 'begun') throw new AppError('lease_lost', 'The run was stopped before its call.');
  const open: Attempt = { number: begun.number, provider: provider.name, model, startedAt: deps.now() / 1000, finishedAt: null, outcome: null, error: null };
  attempts.push(open);
  return open;
};

/** Closes the open line of the ledger while the run goes on. */
const settleOpen = async (deps: Deps, run: ClaimedRun, outcome: 'completed' | 'failed', error?: AppError): Promise<void> => {
  const { job, hold, attempts } = run;
  const open = attempts.at(-1);
  if (open) open.outcome = outcome;
  run.isAnswered = false;
  await persist(hold, () => settleAttempt(deps.redis, job.id, hold.lease, outcome, error && toJobError(error)));
};

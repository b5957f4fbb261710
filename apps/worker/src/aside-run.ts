import { stillAside } from '@fana/core/blobs/aside.ts';
import type { Deps } from '@fana/core/deps.ts';
import { deadlineMs, type JobError, type JobRecord } from '@fana/core/jobs/job.ts';
import { type ClaimedRun, completeRun, DONE, endRun, type MessageFate, releaseRun } from './run-end.ts';
import { DEADLINE_EXCEEDED } from './verdict.ts';

/**
 * A run whose pictures are made and paid for while the blob store is away. It is given back to the queue with its result in its record and
 * its last call settled as completed; the pictures are kept aside on the machine that has them (blobs/aside.ts). Whoever claims it next makes
 * no call: it ends the run once the store has every picture, or gives it back again.
 */
type Kept = { run: number; sinceMs: number; language?: string; result: Parameters<typeof completeRun>[2] };

/** After this the machine that keeps the pictures is taken for lost. */
const MAX_ASIDE_MS = 24 * 3600 * 1000;
const AGAIN_MIN_MS = 1000;
const AGAIN_MAX_MS = 30_000;

const NOT_STORED: JobError = {
  code: 'result_not_stored',
  message: 'The pictures were made, but the worker that keeps them has not stored them within a day. Retry the job to have them made again.',
};

/** The result that waits in the record of this run. */
export const keptResult = ({ aside, run }: Pick<JobRecord, 'aside' | 'run'>): Kept | undefined => {
  if (aside === undefined) return undefined;
  const kept: Kept = JSON.parse(aside);
  return kept.run === run ? kept : undefined;
};

const release = (deps: Deps, run: ClaimedRun, kept: Kept, attempt?: { outcome: 'completed' }): Promise<MessageFate> => {
  const delayMs = Math.min(AGAIN_MAX_MS, Math.max(AGAIN_MIN_MS, (deps.now() - kept.sinceMs) / 2));
  return releaseRun(deps, run, { delayMs, isPause: false, aside: JSON.stringify(kept) }, attempt);
};

/** Gives a run back whose result is complete but for the store. */
export const setAside = (deps: Deps, run: ClaimedRun, result: Kept['result']): Promise<MessageFate> =>
  release(
    deps,
    run,
    { run: run.job.run, sinceMs: deps.now(), ...(run.job.language !== undefined && { language: run.job.language }), result },
    { outcome: 'completed' },
  );

/** Ends a run whose result has waited, if the store has it all now. */
export const finishAside = async (deps: Deps, run: ClaimedRun, kept: Kept): Promise<MessageFate> => {
  const { asideBlobIds = [], ...result } = kept.result;
  if ((await stillAside(deps, asideBlobIds)).length === 0) {
    if (kept.language !== undefined) run.job.language = kept.language;
    await completeRun(deps, run, result, '');
    return DONE;
  }
  const deadline = deadlineMs(run.job);
  const isLate = deadline !== undefined && deadline <= deps.now();
  if (!isLate && deps.now() - kept.sinceMs < MAX_ASIDE_MS) return release(deps, run, kept);
  await endRun(deps, run, { status: 'failed', error: isLate ? DEADLINE_EXCEEDED : NOT_STORED });
  return DONE;
};

import { removeBlobs, saveBlob } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { incompleteReason } from '@fana/core/endpoints/response-output.ts';
import type { AppError } from '@fana/core/errors.ts';
import { type Ending, endJob } from '@fana/core/jobs/end.ts';
import { type Attempt, type AttemptOutcome, deadlineMs, type JobError, type JobRecord } from '@fana/core/jobs/job.ts';
import { mayHoldBytes } from '@fana/core/jobs/long-texts.ts';
import { type FinishReply, releaseJob } from '@fana/core/jobs/store.ts';
import { failDocument } from '@fana/core/retrieval/manage-documents.ts';
import type { Hold } from './leases.ts';
import { persist } from './persist.ts';
import type { ProcessResult } from './processors/processor.ts';
import { DEADLINE_EXCEEDED, judge, toJobError, UNKNOWN_OUTCOME } from './verdict.ts';

/** What the queue is to do with the message: nothing more, or bring it again later: `first` of all that waits, or a priority `sooner` than it came. */
export type MessageFate = { againInMs?: number; place?: 'first' | 'sooner' };
/** The message has done its work. */
export const DONE: MessageFate = {};

/** A run this process works on: its record, the hold on it, the provider calls of the run so far, and whether the last one was answered. `spoken`: the language its message is
 * surely in. */
export type ClaimedRun = { job: JobRecord; hold: Hold; attempts: Attempt[]; isAnswered: boolean; spoken?: string };

/** Results longer than this live in the blob store (ARCHITECTURE.md: blobs carry bytes). */
const INLINE_RESULT_BYTES = 32_768;

/** Ends a run that reached its result; `lastDelta` is the text that was not published yet. @throws AppError `storage_error`, `unavailable`. */
export const completeRun = async (deps: Deps, run: ClaimedRun, result: ProcessResult & { turn?: Ending['turn'] }, lastDelta: string): Promise<void> => {
  const { job, hold } = run;
  const turn: Ending['turn'] = { ...result.turn };
  const fields: Record<string, string | number> = { usage: JSON.stringify(result.usage), served_by: JSON.stringify(result.servedBy) };
  const output = JSON.stringify(result.output);
  if (output.length > INLINE_RESULT_BYTES || mayHoldBytes(output)) {
    const blob = await persist(hold, () => saveBlob(deps, { tenant: job.spec.tenant, bytes: Buffer.from(output), mediaType: 'application/json' }));
    fields['output_blob'] = blob.id;
    turn.outputBlobId = blob.id;
    // How many and how long, so that nobody reads megabytes to tell it.
    if (result.output.kind === 'embeddings') fields['output'] = JSON.stringify({ ...result.output, vectors: [] });
  } else {
    fields['output'] = output;
    turn.output = result.output;
  }
  if (result.costUsd !== undefined) fields['cost_usd'] = result.costUsd;
  if (result.sources) fields['sources'] = JSON.stringify(result.sources);
  const warnings = job.earlierCalls > 0 ? [...result.warnings, earlierCallsWarning(job)] : result.warnings;
  if (warnings.length > 0) fields['result_warnings'] = JSON.stringify(warnings);
  const isCut = result.output.kind === 'text' && incompleteReason(result.output) !== undefined;
  const reply = await endRun(deps, run, {
    status: 'completed',
    attempt: { outcome: 'completed' },
    lastDelta,
    isCut,
    fields,
    turn,
    ...(run.spoken !== undefined && { spoken: run.spoken }),
  });
  // Erased meanwhile: nobody will ever know of these blobs. A job that is completed may be so by our own first try.
  if (reply.kind === 'lost' && reply.status !== 'completed') await removeBlobs(deps, resultBlobs(result, turn.outputBlobId));
};

const resultBlobs = ({ output }: ProcessResult, outputBlobId: string | undefined): string[] => [
  ...(outputBlobId === undefined ? [] : [outputBlobId]),
  ...(output.kind === 'images' ? output.images.map(({ blobId }) => blobId) : []),
];

const earlierCallsWarning = (job: JobRecord): string => `Earlier runs of this job made ${job.earlierCalls} provider call${job.earlierCalls === 1 ? '' : 's'}.`;

/**
 * Decides what becomes of a run that threw: ended, given back to the queue, or nothing at all when another worker holds it now.
 * @throws AppError `unavailable` when Redis cannot be told; the end of the lease brings the message again.
 */
export const failRun = async (deps: Deps, run: ClaimedRun, error: AppError): Promise<MessageFate> => {
  const { job, hold, attempts } = run;
  const reason = hold.reason();
  if (reason === 'lost') return DONE;
  // Whatever threw the reason of the signal itself was told to stop: no fault of ours.
  if (error.code === 'internal_error' && error.cause !== hold.signal.reason) {
    deps.logger.error({ err: error.cause ?? error, job_id: job.id }, 'job failed on our side');
  }
  if (reason && !(reason === 'shutdown' && hasEndedByItself(run, error))) return stopRun(deps, run, error, reason);
  const verdict = judge(job, attempts, error, deps.now());
  const attempt = openAttempt(attempts) ? { outcome: verdict.outcome, error: toJobError(error) } : undefined;
  if (verdict.kind === 'retry') {
    const fate = await releaseRun(deps, run, verdict, attempt);
    // It had its turn in the queue: those who came after it are not to overtake it each time.
    return error.code === 'provider_paused' && fate.againInMs !== undefined ? { ...fate, place: 'sooner' } : fate;
  }
  await endRun(deps, run, { status: verdict.status, error: verdict.error, ...(attempt && { attempt }) });
  return DONE;
};

const openAttempt = (attempts: Attempt[]): Attempt | undefined => attempts.find(({ outcome }) => outcome === null);

/** The call told of a picture and was stopped while that was fetched: made, but never read. */
const isCutAfterAnswer = (error: AppError): boolean => error.code === 'cancelled' && error.provider?.outcome === 'known';

/** The call had its outcome before the run was told to stop: it is judged as ever, and a picture that was paid for is not asked for again. */
const hasEndedByItself = (run: ClaimedRun, error: AppError): boolean => run.isAnswered || (error.provider?.outcome === 'known' && !isCutAfterAnswer(error));

/** Ends or gives back a run that was told to stop. A request that was sent and not answered in full is of unknown outcome for pictures (promise 2). */
const stopRun = async (deps: Deps, run: ClaimedRun, error: AppError, reason: Exclude<ReturnType<Hold['reason']>, undefined | 'lost'>): Promise<MessageFate> => {
  const mayBeDone = run.isAnswered || error.provider?.outcome === 'unknown' || isCutAfterAnswer(error);
  const outcome: AttemptOutcome = mayBeDone && run.job.spec.type === 'image' ? 'unknown' : 'cancelled';
  const attempt = openAttempt(run.attempts) && { outcome };
  if (reason === 'shutdown') {
    if (outcome !== 'unknown') return releaseRun(deps, run, { delayMs: 0, isPause: false }, attempt);
    await endRun(deps, run, { status: 'unknown_outcome', error: UNKNOWN_OUTCOME, ...(attempt && { attempt }) });
    return DONE;
  }
  const ending: Omit<Ending, 'lease'> = reason === 'cancel' ? { status: 'cancelled' } : { status: 'failed', error: DEADLINE_EXCEEDED };
  await endRun(deps, run, { ...ending, ...(attempt && { attempt }) });
  return DONE;
};

/** `aside`: the result of the run, which waits for the blob store. */
type Delay = { delayMs: number; isPause: boolean; aside?: string };

/** Gives a run back to the queue. @throws AppError `unavailable` once the lease is lost. */
export const releaseRun = async (deps: Deps, run: ClaimedRun, { delayMs, isPause, aside }: Delay, attempt: Ending['attempt']): Promise<MessageFate> => {
  const { job, hold } = run;
  // A pause never outlasts the deadline: the job is to fail then, not later.
  const deadline = deadlineMs(job);
  const againInMs = deadline === undefined ? delayMs : Math.max(0, Math.min(delayMs, deadline - deps.now()));
  const waitedMs = (job.waitedMs ?? 0) + (isPause ? againInMs : 0);
  const released = await persist(hold, () =>
    releaseJob(deps.redis, { id: job.id, lease: hold.lease, delayMs: againInMs, waitedMs, ...(attempt && { attempt }), ...(aside !== undefined && { aside }) }),
  );
  if (released === 'released') return { againInMs };
  if (released === 'cancelling') await endRun(deps, run, { status: 'cancelled', ...(attempt && { attempt }) });
  return DONE;
};

const CANCELLED_INGEST: JobError = { code: 'cancelled', message: 'The ingest of the document was cancelled.' };

/** Ends a run and says so in the log; an end that comes too late changes nothing. @throws AppError `unavailable` once the lease is lost. */
export const endRun = async (deps: Deps, { job, hold }: ClaimedRun, ending: Omit<Ending, 'lease'>): Promise<FinishReply> => {
  const reply = await persist(hold, () => endJob(deps, job, { ...ending, lease: hold.lease }));
  if (reply.kind === 'lost') deps.logger.warn({ job_id: job.id, status: reply.status }, 'a late finisher was refused');
  else deps.logger.debug({ job_id: job.id, status: ending.status }, 'job ended');
  const { ingest } = job.spec;
  if (reply.kind === 'lost' || !ingest || ending.status === 'completed') return reply;
  // Should this not be written, the document is told of by its job (manage-documents.ts).
  await failDocument(deps, { ...ingest, jobId: job.id }, ending.error ?? CANCELLED_INGEST).catch((error: unknown) =>
    deps.logger.warn({ err: error, job_id: job.id }, 'the end of an ingest was not written on its document'),
  );
  return reply;
};

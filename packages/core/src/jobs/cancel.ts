import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { endJob } from './end.ts';
import type { JobRecord } from './job.ts';
import { readJob, requestCancel } from './store.ts';

/**
 * Cancels a job: a queued one at once, a running one by telling its worker, whichever process that is.
 * Cancelling twice is no error.
 * @returns the job as it is then: `cancelled` or `cancelling`.
 * @throws AppError `job_not_cancellable` when it has ended otherwise.
 */
export const cancelJob = async (deps: Pick<Deps, 'redis' | 'queues' | 'config' | 'now' | 'endpoints'>, job: JobRecord): Promise<JobRecord | undefined> => {
  // A queued job can be claimed, and a running one released, between our two looks: a few rounds settle it.
  for (let round = 0; round < 5; round++) {
    const before = await requestCancel(deps.redis, job.id);
    if (before === 'in_progress' || before === 'cancelling' || before === 'cancelled' || before === '') break;
    if (before !== 'queued') throw new AppError('job_not_cancellable', `The job has ended already: it is ${before}.`);
    const reply = await endJob(deps, job, { status: 'cancelled', lease: '' });
    if (reply.kind === 'finished') break;
  }
  return readJob(deps.redis, job.id);
};

import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { messageOf } from './acceptor.ts';
import type { JobRecord } from './job.ts';
import { readJob, restartJob } from './store.ts';

/**
 * Starts a new run of an ended job, with fresh attempts and a terminal event of its own.
 * @throws AppError `job_not_retryable` when it is not failed, cancelled or unknown_outcome.
 */
export const retryJob = async (deps: Pick<Deps, 'redis' | 'queues'>, job: JobRecord): Promise<JobRecord | undefined> => {
  const reply = await restartJob(deps.redis, job.id, job.run);
  if (reply.kind === 'refused') {
    throw new AppError('job_not_retryable', `Only a failed, cancelled or unknown_outcome job can be retried; this one is ${job.status}.`);
  }
  if (reply.kind === 'gone') return undefined;
  if (!reply.waits) await deps.queues.enqueue([messageOf(job.id, reply.run, job.spec)]);
  return readJob(deps.redis, job.id);
};

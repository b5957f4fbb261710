import type { Deps } from '../deps.ts';
import { messageOf } from './acceptor.ts';
import { readJob } from './store.ts';

/** Sends the message of the job whose turn in its session has come; if this process dies before, the sweep does. */
export const sendNext = async (deps: Pick<Deps, 'redis' | 'queues' | 'now'>, jobId: string | undefined): Promise<void> => {
  const job = jobId === undefined ? undefined : await readJob(deps.redis, jobId);
  if (job) await deps.queues.enqueue([messageOf(job.id, job.run, job.spec, (job.spec.runAtMs ?? 0) - deps.now())]);
};

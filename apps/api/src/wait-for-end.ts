import { isTerminal, type JobRecord } from '@fana/core/jobs/job.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import type { ApiDeps } from './api-deps.ts';

/** A message can be missed while the subscriber reconnects: the record is read again at least this often. */
const LOOK_EVERY_MS = 5000;

/** Resolves with the job when it has ended, or as it is after `timeoutMs`, when the client has gone or the process is about to end. Undefined: it was deleted meanwhile. */
export const waitForEnd = async (deps: ApiDeps, jobId: string, timeoutMs: number, signal: AbortSignal): Promise<JobRecord | undefined> => {
  const until = performance.now() + timeoutMs;
  let wake: () => void = () => undefined;
  const stop = await deps.watcher.watch(jobId, (ended) => {
    if (ended) wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      // Armed before the read: an end that comes while we read is not lost.
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const job = await readJob(deps.redis, jobId);
      const left = until - performance.now();
      if (!job || isTerminal(job.status) || left <= 0 || signal.aborted || deps.watcher.isClosing()) return job;
      const timer = setTimeout(wake, Math.min(left, LOOK_EVERY_MS));
      await woken;
      clearTimeout(timer);
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop();
  }
};

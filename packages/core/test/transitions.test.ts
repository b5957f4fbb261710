import { endJob } from '@fana/core/jobs/end.ts';
import { isTerminal, JOB_STATUSES, type JobRecord, type JobStatus, TERMINAL_STATUSES, TRANSITIONS } from '@fana/core/jobs/job.ts';
import { claimJob, jobKey, readJob, releaseJob, requestCancel, restartJob } from '@fana/core/jobs/store.ts';
import { acceptJob } from '@fana/testkit/accept-job.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';

let redis: TestRedis;
let deps: TestDeps;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const LEASE = 'lease_1';

/** Everything that can happen to a record, as its callers do it: without a lease a job is only cancelled or failed. */
const STEPS: ((job: JobRecord) => Promise<unknown>)[] = [
  ({ id, run }) => claimJob(deps.redis, id, run, 'lease_2'),
  ({ id }) => releaseJob(deps.redis, { id, lease: LEASE, delayMs: 0 }),
  ({ id }) => requestCancel(deps.redis, id),
  ({ id, run }) => restartJob(deps.redis, id, run),
  ...TERMINAL_STATUSES.map((status) => (job: JobRecord) => endJob(deps, job, { status, lease: LEASE })),
  ...(['cancelled', 'failed'] as const).map((status) => (job: JobRecord) => endJob(deps, job, { status, lease: '' })),
];

/** A job in this status, under a lease that has lapsed while it runs: both its holder and another worker may act. */
const jobIn = async (status: JobStatus): Promise<JobRecord> => {
  const job = await acceptJob(deps);
  if (status !== 'queued') await claimJob(deps.redis, job.id, 1, LEASE);
  if (isTerminal(status)) await endJob(deps, job, { status, lease: LEASE });
  if (status === 'cancelling') await requestCancel(deps.redis, job.id);
  if (status === 'cancelling' || status === 'in_progress') await deps.redis.hset(jobKey(job.id), 'lease_ms', 0);
  return job;
};

it.each(JOB_STATUSES)('a job that is %s changes as the table of transitions says, and in no other way', async (from) => {
  const reached = new Set<JobStatus>();
  for (const step of STEPS) {
    const job = await jobIn(from);
    expect((await readJob(deps.redis, job.id))?.status).toBe(from);
    await step(job);
    const after = await readJob(deps.redis, job.id);
    if (after && after.status !== from) reached.add(after.status);
  }
  expect([...reached].sort()).toEqual([...TRANSITIONS[from]].sort());
});

import type { Deps } from '@fana/core/deps.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';

/** Accepts a job as `POST /v1/jobs` does, for the tenant `t`: its record is queued and its message on the way. */
export const acceptJob = async (deps: Deps, body: unknown = { type: 'chat', input: 'hello' }): Promise<JobRecord> => {
  const submitter = { tenant: 't', keyId: 'k', requestsPerMinute: 0 };
  return (await submitJob(deps, createAcceptor(deps), submitter, body, { rawBody: '' })).job;
};

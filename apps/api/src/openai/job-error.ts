import { AppError } from '@fana/core/errors.ts';
import type { JobError, JobRecord } from '@fana/core/jobs/job.ts';

const CANCELLED: JobError = { code: 'cancelled', message: 'The job was cancelled.' };

/** Why a job has no result, as the error its caller is to see: ours, with what the provider said kept beside it. */
export const jobError = ({ status, error }: Pick<JobRecord, 'status' | 'error'>): AppError => {
  const { code, message, param, providerCode, providerStatus, providerParam, retryAfterMs } =
    error ?? (status === 'cancelled' ? CANCELLED : { code: 'internal_error', message: 'The job ended without a result.' });
  return new AppError(code, message, {
    ...(param !== undefined && { param }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    provider: {
      outcome: 'known',
      ...(providerStatus !== undefined && { status: providerStatus }),
      ...(providerCode !== undefined && { code: providerCode }),
      ...(providerParam !== undefined && { param: providerParam }),
    },
  });
};

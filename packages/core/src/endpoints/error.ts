import { STATUS } from '../error-status.ts';
import { AppError, ERRORS, type ErrorCode } from '../errors.ts';
import type { JobError, JobRecord } from '../jobs/job.ts';

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

/** An error as OpenAI would say it. */
export type EndpointError = { status: number; error: { message: string; type: string; code: string; param: string | null } };

/** OpenAI answers 404 for a model it does not know, and its SDKs have a class of error for that. */
const statusOf = (code: ErrorCode): number => (code === 'model_not_found' ? 404 : STATUS[code]);

const isClientStatus = (status: number | undefined): status is number => status !== undefined && status >= 400 && status < 500;

/** On a compatible route a parameter stands in the body itself. */
const inTheBody = (param: string | undefined): string | null => param?.replace(/^parameters\./, '') ?? null;

/** A provider's 4xx keeps its status, code and param (contract 3); so does a refusal it sent in a stream, but for the status; everything else is ours. */
export const endpointError = ({ code, message, param: path, provider }: AppError): EndpointError => {
  const { type } = ERRORS[code];
  const param = inTheBody(path);
  const isSaidInStream = provider?.status === 200 && isClientStatus(statusOf(code));
  if (isSaidInStream) return { status: statusOf(code), error: { message, type, code: provider.code ?? code, param: provider.param ?? param } };
  if (!isClientStatus(provider?.status)) return { status: statusOf(code), error: { message, type, code, param } };
  return { status: provider.status, error: { message, type, code: provider.code ?? code, param: provider.param ?? param } };
};

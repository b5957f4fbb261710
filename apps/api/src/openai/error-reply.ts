import { type AppError, ERRORS } from '@fana/core/errors.ts';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { errorHeaders, STATUS } from '../errors.ts';

type CompatibleError = {
  status: ContentfulStatusCode;
  headers: Record<string, string>;
  body: { error: { message: string; type: string; code: string; param: string | null }; request_id: string };
};

const isClientStatus = (status: number | undefined): status is number => status !== undefined && status >= 400 && status < 500;

/** Sending again cannot help, or would pay again for what may have been made: SDKs are told not to try by themselves. */
const NEVER_AGAIN = new Set(['unknown_outcome', 'result_not_stored', 'attempts_exhausted']);

/** An error on a compatible route: a provider's 4xx keeps its status, code and param (contract 3), everything else is ours. */
export const errorReply = (error: AppError, requestId: string): CompatibleError => {
  const { provider } = error;
  const isProviders = isClientStatus(provider?.status);
  const status = isProviders ? (provider?.status as ContentfulStatusCode) : STATUS[error.code];
  const headers = errorHeaders(error);
  if (NEVER_AGAIN.has(error.code)) headers['x-should-retry'] = 'false';
  return {
    status,
    headers,
    body: {
      error: {
        message: error.message,
        type: ERRORS[error.code].type,
        code: (isProviders ? provider?.code : undefined) ?? error.code,
        param: (isProviders ? provider?.param : undefined) ?? error.param ?? null,
      },
      request_id: requestId,
    },
  };
};

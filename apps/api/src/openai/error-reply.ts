import { endpointError } from '@fana/core/endpoints/error.ts';
import type { AppError } from '@fana/core/errors.ts';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Environment } from '../environment.ts';
import { errorHeaders } from '../errors.ts';
import { reply } from '../reply.ts';

/** Sending again cannot help, or would pay again for what may have been made or was stopped on purpose: SDKs are told not to try by themselves. */
const NEVER_AGAIN = new Set(['unknown_outcome', 'result_not_stored', 'attempts_exhausted', 'cancelled']);

/** The reply to a compatible request whose job ended in an error, or that cannot be answered. */
export const errorReply = (c: Context<Environment>, failure: AppError, headers: Record<string, string>): Response => {
  const { status, error } = endpointError(failure);
  const told = errorHeaders(failure);
  if (NEVER_AGAIN.has(failure.code)) told['x-should-retry'] = 'false';
  return reply(c, { error, request_id: c.var.requestId }, status as ContentfulStatusCode, { ...headers, ...told });
};

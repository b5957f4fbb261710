import type { AppError } from '../../errors.ts';
import type { PaceOutcome } from './pacer.ts';

/**
 * What a failed call means to the pace. A timeout or a 5xx is no sign of going too fast: a slow picture and a broken server look the same
 * at any pace, so they neither cut the limit nor add to it; one that says how long to wait is obeyed like a 529.
 */
export const paceOutcome = (error: AppError): PaceOutcome => {
  const { code, provider, retryAfterMs } = error;
  const asked = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (code === 'provider_rate_limited') return { kind: 'limited', ...asked };
  if (code === 'provider_overloaded') return { kind: 'overloaded', ...asked };
  if (code === 'provider_unavailable' && retryAfterMs !== undefined) return { kind: 'overloaded', retryAfterMs };
  return provider === undefined || provider.outcome === 'not_sent' ? { kind: 'unused' } : { kind: 'failed' };
};

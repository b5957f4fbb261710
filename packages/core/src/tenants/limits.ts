import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { Caller } from './caller.ts';
import { takeRequestOf } from './store.ts';

/** What is left of a key's requests: `resetSeconds` until the count starts to fall (allowed) or one more fits (refused). */
export type RequestsLeft = { remaining: number; resetSeconds: number };

/** The answer to a key that has used up its minute; the job route gives the same. */
export const overRequestLimit = (resetSeconds: number): AppError =>
  new AppError('rate_limit_exceeded', 'This key has used up its requests of this minute.', { retryAfterMs: resetSeconds * 1000 });

/**
 * Counts one request of this caller in a sliding minute that it shares with its job submissions (jobs/accept.lua).
 * Exact under concurrency: the count is taken and checked in one step. Undefined when the key has no limit.
 */
export const takeRequest = async (deps: Pick<Deps, 'redis'>, caller: Caller): Promise<(RequestsLeft & { allowed: boolean }) | undefined> =>
  caller.requestsPerMinute === 0 ? undefined : takeRequestOf(deps.redis, caller.keyId, caller.requestsPerMinute);

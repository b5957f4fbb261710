import { overRequestLimit, takeRequest } from '@fana/core/tenants/limits.ts';
import { createMiddleware } from 'hono/factory';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { rateLimitHeaders } from '../rate-limit-headers.ts';

/** Reading is free, and so is taking away: a key that has used up its minute can still poll and still revoke. */
const COUNTED = new Set(['POST', 'PATCH', 'PUT']);

/**
 * Requests per minute of the caller's key, for every route but job submission, which counts in its own atomic step (jobs/accept.lua)
 * on the same counter. Comes after `authenticate`. @throws AppError `rate_limit_exceeded` with `Retry-After`.
 */
export const limits = (deps: Pick<ApiDeps, 'redis'>) =>
  createMiddleware<Environment>(async (c, next) => {
    if (COUNTED.has(c.req.method)) {
      const taken = await takeRequest(deps, c.var.caller);
      if (taken) {
        for (const [name, value] of Object.entries(rateLimitHeaders(c.var.caller.requestsPerMinute, taken))) c.header(name, value);
        if (!taken.allowed) throw overRequestLimit(taken.resetSeconds);
      }
    }
    await next();
  });

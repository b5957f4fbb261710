import { endpointError } from '@fana/core/endpoints/error.ts';
import { STATUS } from '@fana/core/error-status.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import type { Caller } from '@fana/core/tenants/caller.ts';
import { Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ApiDeps } from './api-deps.ts';
import type { Environment } from './environment.ts';
import { errorBody, errorHeaders } from './errors.ts';
import { requestContext } from './middleware/request-context.ts';
import { mountOpenai } from './openai/mount.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';
import { blobRoutes } from './routes/blobs.ts';
import { collectionRoutes } from './routes/collections.ts';
import { healthRoutes } from './routes/health.ts';
import { jobRoutes } from './routes/jobs.ts';
import { keyRoutes } from './routes/keys.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { triggerRoutes } from './routes/triggers.ts';

/** The API: middleware in order, then one line for each resource. */
export const createApp = (deps: ApiDeps): Hono<Environment> => {
  const app = new Hono<Environment>();
  app.use(requestContext);

  app.route('/', healthRoutes(deps));
  app.route('/v1/jobs', jobRoutes(deps));
  app.route('/v1/sessions', sessionRoutes(deps));
  app.route('/v1/triggers', triggerRoutes(deps));
  app.route('/v1/blobs', blobRoutes(deps));
  app.route('/v1/collections', collectionRoutes(deps));
  app.route('/v1/admin/keys', keyRoutes(deps));
  mountOpenai(app, deps);

  app.notFound((c) => {
    const error = new AppError('not_found', `There is no ${c.req.method} ${c.req.path}.`);
    return c.json(errorBody(error, c.var.requestId), 404);
  });
  app.onError((thrown, c) => {
    const error = toAppError(thrown);
    if (error.code === 'internal_error') deps.logger.error({ err: error.cause ?? error, request_id: c.var.requestId }, 'request failed');
    for (const [name, value] of Object.entries({ ...limitHeaders(c.var.caller, error), ...errorHeaders(error) })) c.header(name, value);
    return c.json(errorBody(error, c.var.requestId), c.var.isCompatible ? (endpointError(error).status as ContentfulStatusCode) : STATUS[error.code]);
  });
  return app;
};

/** A key that has used up its minute is told so in the headers that its client reads. */
const limitHeaders = (caller: Caller | undefined, error: AppError): Record<string, string> =>
  error.code === 'rate_limit_exceeded' && caller !== undefined && caller.requestsPerMinute > 0
    ? rateLimitHeaders(caller.requestsPerMinute, { remaining: 0, resetSeconds: Math.ceil((error.retryAfterMs ?? 1000) / 1000) })
    : {};

import { newId } from '@fana/core/ids.ts';
import { createMiddleware } from 'hono/factory';
import type { Environment } from '../environment.ts';
import { SECURITY_HEADERS } from '../reply.ts';

const HEADERS = Object.entries(SECURITY_HEADERS);

/** Gives each request its id (`x-request-id` on every reply) and each reply its security headers. */
export const requestContext = createMiddleware<Environment>(async (c, next) => {
  const requestId = newId('req');
  c.set('requestId', requestId);
  await next();
  if (c.var.sealed) return;
  const { headers } = c.res;
  headers.set('x-request-id', requestId);
  for (const [name, value] of HEADERS) if (!headers.has(name)) headers.set(name, value);
});

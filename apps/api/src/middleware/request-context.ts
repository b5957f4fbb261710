import { newId } from '@fana/core/ids.ts';
import { createMiddleware } from 'hono/factory';
import type { Environment } from '../environment.ts';

/** On every reply: an API answers data, never a page to be framed, sniffed or cached. A route may set its own first. */
const SECURITY_HEADERS: [string, string][] = [
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'no-referrer'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['cross-origin-resource-policy', 'same-site'],
  ['cache-control', 'no-store'],
];

/** Gives each request its id (`x-request-id` on every reply) and each reply its security headers. */
export const requestContext = createMiddleware<Environment>(async (c, next) => {
  const requestId = newId('req');
  c.set('requestId', requestId);
  await next();
  const { headers } = c.res;
  headers.set('x-request-id', requestId);
  for (const [name, value] of SECURITY_HEADERS) if (!headers.has(name)) headers.set(name, value);
});

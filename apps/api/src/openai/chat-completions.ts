import { chatCompletions } from '@fana/core/endpoints/chat-completions.ts';
import { AppError } from '@fana/core/errors.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { serve } from './serve.ts';

/** Contract 3. */
const MAX_BODY_BYTES = 50 * 1024 * 1024;

/** `/v1/chat/completions`. */
export const chatCompletionRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.post('/', authenticate(deps.keys, 'jobs'), async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const call = await chatCompletions.parse(deps, c.var.caller.tenant, body);
    if (call.echo['stream']) throw new AppError('unsupported_parameter', 'stream is not supported yet.', { param: 'stream' });
    return serve(deps, c, { endpoint: chatCompletions, call, rawBody: raw });
  });
  routes.all('/', allowOnly('POST'));
  return routes;
};

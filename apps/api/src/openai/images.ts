import { imageGenerations } from '@fana/core/endpoints/image-generations.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { serve } from './serve.ts';

const MAX_BODY_BYTES = 10 * 1024 * 1024;

/** `/v1/images`. */
export const imageRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.post('/generations', authenticate(deps.keys, 'jobs'), async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const call = await imageGenerations.parse(deps, c.var.caller.tenant, body);
    return serve(deps, c, { endpoint: imageGenerations, call, rawBody: raw });
  });
  routes.all('/generations', allowOnly('POST'));
  return routes;
};

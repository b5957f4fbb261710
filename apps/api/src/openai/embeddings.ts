import { embeddings } from '@fana/core/endpoints/embeddings.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { serve } from './serve.ts';

const MAX_BODY_BYTES = 10 * 1024 * 1024;

/** `/v1/embeddings`. */
export const embeddingRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.post('/', authenticate(deps.keys, 'jobs'), async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const call = await embeddings.parse(deps, c.var.caller.tenant, body);
    return serve(deps, c, { endpoint: embeddings, call, rawBody: raw });
  });
  routes.all('/', allowOnly('POST'));
  return routes;
};

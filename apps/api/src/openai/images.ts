import type { EndpointCall } from '@fana/core/endpoints/endpoint.ts';
import { imageEdits } from '@fana/core/endpoints/image-edits.ts';
import { imageGenerations } from '@fana/core/endpoints/image-generations.ts';
import { type Context, Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { readIdempotencyKey } from '../middleware/idempotency.ts';
import { parsePrefer } from '../prefer.ts';
import { readPictureForm } from './picture-form.ts';
import { serve } from './serve.ts';

const MAX_BODY_BYTES = 10 * 1024 * 1024;
/** Of an edit that names its pictures in JSON, some of them in data URLs. */
const MAX_EDIT_BODY_BYTES = 50 * 1024 * 1024;

/** An edit comes as a form, or as JSON. */
const readEdit = async (deps: ApiDeps, c: Context<Environment>): Promise<{ call: EndpointCall; rawBody: string }> => {
  if (/^application\/json\b/i.test(c.req.header('content-type') ?? '')) {
    const { raw, body } = await readJson(c, MAX_EDIT_BODY_BYTES);
    return { call: await imageEdits.parse(deps, c.var.caller.tenant, body), rawBody: raw };
  }
  // What the headers alone can get wrong is told before pictures are stored.
  readIdempotencyKey(c);
  parsePrefer(c.req.header('prefer'));
  const { call, fingerprint } = await readPictureForm(deps, c);
  return { call, rawBody: fingerprint };
};

/** `/v1/images`. */
export const imageRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.post('/generations', authenticate(deps.keys, 'jobs'), async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const call = await imageGenerations.parse(deps, c.var.caller.tenant, body);
    return serve(deps, c, { endpoint: imageGenerations, call, rawBody: raw });
  });
  routes.post('/edits', authenticate(deps.keys, 'jobs'), async (c) => serve(deps, c, { endpoint: imageEdits, ...(await readEdit(deps, c)) }));
  routes.all('/generations', allowOnly('POST'));
  routes.all('/edits', allowOnly('POST'));
  return routes;
};

import { defaultSecret } from '@fana/core/webhooks/secret.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';

/** `/v1/webhook_endpoints`: for now the secret of the endpoint `default`, which signs per-job webhooks. */
export const webhookRoutes = (deps: Pick<ApiDeps, 'keys' | 'redis' | 'config'>): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.get('/default/secret', authenticate(deps.keys, 'webhooks'), async (c) =>
    c.json({ object: 'webhook_secret', secret: await defaultSecret(deps, c.var.caller.tenant) }),
  );
  routes.all('/default/secret', allowOnly('GET'));
  return routes;
};

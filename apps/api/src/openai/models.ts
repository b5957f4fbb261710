import { AppError } from '@fana/core/errors.ts';
import type { ModelInfo } from '@fana/core/providers/provider.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';

/** OpenAI's model object and what ours knows beyond it. `created` is 0: the catalogue does not keep when a model appeared. */
const view = (model: ModelInfo) => ({
  id: model.id,
  object: 'model' as const,
  created: 0,
  owned_by: model.ownedBy,
  types: model.types,
  ...(model.aliasOf !== undefined && { alias_of: model.aliasOf }),
  shutdown_date: model.shutdownDate ?? null,
  ...(model.successor !== undefined && { successor: model.successor }),
});

/** `/v1/models` and `/openai/v1/models`: every model and alias that can be asked for now. */
export const modelRoutes = (deps: Pick<ApiDeps, 'keys' | 'providers'>): Hono<Environment> => {
  const routes = new Hono<Environment>();
  const auth = authenticate(deps.keys, 'jobs');
  routes.get('/', auth, (c) => c.json(listPage(deps.providers.list().map(view), false)));
  // A model id may contain slashes (openai/gpt-oss-120b), as they are or percent-encoded.
  routes.get('/:id{.+}', auth, (c) => {
    const id = c.req.param('id');
    const model = deps.providers.list().find((known) => known.id === id);
    if (!model) throw new AppError('not_found', 'There is no such model here. GET /v1/models lists them.', { param: 'model' });
    return c.json(view(model));
  });
  routes.all('/', allowOnly('GET'));
  routes.all('/:id{.+}', allowOnly('GET'));
  return routes;
};

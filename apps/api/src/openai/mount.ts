import type { Hono } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { batchRoutes } from './batches.ts';
import { chatCompletionRoutes } from './chat-completions.ts';
import { embeddingRoutes } from './embeddings.ts';
import { fileRoutes } from './files.ts';
import { imageRoutes } from './images.ts';
import { modelRoutes } from './models.ts';
import { responseRoutes } from './responses.ts';
import { webhookDeliveryRoutes } from './webhook-deliveries.ts';
import { webhookEndpointRoutes, webhookEventTypeRoutes } from './webhook-endpoints.ts';

/** groq-sdk asks under `/openai/v1`, everybody else under `/v1` (contract 5). */
const PREFIXES = ['/v1', '/openai/v1'] as const;

const compatible = createMiddleware<Environment>(async (c, next) => {
  c.set('isCompatible', true);
  await next();
});

/** The compatible face: one line for each endpoint. */
export const mountOpenai = (app: Hono<Environment>, deps: ApiDeps): void => {
  for (const prefix of PREFIXES) {
    for (const path of ['chat', 'images', 'responses', 'embeddings']) app.use(`${prefix}/${path}/*`, compatible);
    app.route(`${prefix}/chat/completions`, chatCompletionRoutes(deps));
    app.route(`${prefix}/files`, fileRoutes(deps));
    app.route(`${prefix}/images`, imageRoutes(deps));
    app.route(`${prefix}/responses`, responseRoutes(deps));
    app.route(`${prefix}/embeddings`, embeddingRoutes(deps));
    app.route(`${prefix}/webhook_endpoints`, webhookEndpointRoutes(deps));
    app.route(`${prefix}/webhook_event_types`, webhookEventTypeRoutes(deps));
    app.route(`${prefix}/webhook_deliveries`, webhookDeliveryRoutes(deps));
    app.route(`${prefix}/batches`, batchRoutes(deps));
    app.route(`${prefix}/models`, modelRoutes(deps));
  }
};

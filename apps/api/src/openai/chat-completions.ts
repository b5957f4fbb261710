import { createChunks } from '@fana/core/endpoints/chat-chunks.ts';
import { chatCompletions } from '@fana/core/endpoints/chat-completions.ts';
import type { TextOutput } from '@fana/core/jobs/job.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { serve } from './serve.ts';
import type { FormatOf } from './stream-answer.ts';

/** Contract 3. */
const MAX_BODY_BYTES = 50 * 1024 * 1024;

const frames = (chunks: object[]): string => chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');

const chunkFormat: FormatOf = (job) => {
  const chunks = createChunks(job, job.spec.echo?.['include_usage'] === true);
  return {
    piece: (event) => frames(chunks.piece(event)),
    end: (ended, output) => `${frames(chunks.end(ended, output as TextOutput))}data: [DONE]\n\n`,
    fail: (error) => frames([{ error }]),
  };
};

/** `/v1/chat/completions`. */
export const chatCompletionRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.post('/', authenticate(deps.keys, 'jobs'), async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const call = await chatCompletions.parse(deps, c.var.caller.tenant, body);
    return serve(deps, c, { endpoint: chatCompletions, call, rawBody: raw, ...(call.echo['stream'] === true && { stream: chunkFormat }) });
  });
  routes.all('/', allowOnly('POST'));
  return routes;
};

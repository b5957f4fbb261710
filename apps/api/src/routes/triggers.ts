import { AppError } from '@fana/core/errors.ts';
import { cleanText } from '@fana/core/jobs/input.ts';
import { MAX_TEXT_CHARS } from '@fana/core/jobs/submission.ts';
import { parseWith } from '@fana/core/parse.ts';
import { classifyOrAsk } from '@fana/core/triggers/ask-model.ts';
import { detectLanguage, loadLanguageDetector } from '@fana/core/triggers/language.ts';
import { Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { limits } from '../middleware/limits.ts';

/** As `POST /v1/jobs`, whose input this text would be. */
const MAX_BYTES = 10_000_000;
const bodySchema = z.strictObject({
  text: z.string().max(MAX_TEXT_CHARS, `must have at most ${MAX_TEXT_CHARS} characters`),
  has_image: z.boolean().default(false),
});

/** `/v1/triggers`: what the classifier would make of a message; nothing is fetched or stored; only FANA_TRIGGER_MODEL may be asked. */
export const triggerRoutes = (deps: Pick<ApiDeps, 'keys' | 'redis' | 'config' | 'providers' | 'logger'>): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.post('/classify', authenticate(deps.keys, 'jobs'), limits(deps), async (c) => {
    const { body } = await readJson(c, MAX_BYTES);
    const asked = parseWith(bodySchema, body);
    const text = cleanText(asked.text);
    if (text.trim() === '' && !asked.has_image) throw new AppError('invalid_request', 'text: must not be empty.', { param: 'text' });
    const { label, confidence, source, urls } = await classifyOrAsk(deps, { text, hasImage: asked.has_image });
    await loadLanguageDetector();
    return c.json({ label, confidence, source, language: detectLanguage(text).language, urls: urls.map(({ url, kind }) => ({ url, kind })) });
  });
  routes.all('/classify', allowOnly('POST'));
  return routes;
};

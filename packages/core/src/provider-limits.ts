import { z } from 'zod';

/** What an account may ask of one model; unset = not configured. */
export type ModelLimits = { requestsPerMinute?: number | undefined; imagesPerMinute?: number | undefined };
/** By provider and model; `*` stands for every model of the provider that has no line of its own. */
export type ProviderLimits = { [Provider in 'groq' | 'openai' | 'anthropic']?: Record<string, ModelLimits> | undefined };

const perMinute = z.number({ error: 'must be a number' }).positive('must be above 0').optional();
const modelLimits = z
  .strictObject({ requests_per_minute: perMinute, images_per_minute: perMinute })
  .transform(({ requests_per_minute, images_per_minute }): ModelLimits => ({ requestsPerMinute: requests_per_minute, imagesPerMinute: images_per_minute }));
const models = z.record(z.string(), modelLimits).optional();
const schema = z.strictObject({ groq: models, openai: models, anthropic: models });

const parseJson = (text: string): { value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) };
  } catch {
    // The caller says that it is no JSON.
    return undefined;
  }
};

const problemOf = (issue: z.core.$ZodIssue): string => {
  if (issue.code === 'unrecognized_keys') return `does not know ${issue.keys.map((key) => [...issue.path, key].join('.')).join(', ')}`;
  const path = issue.path.join('.');
  const what = issue.code === 'invalid_type' && issue.expected !== 'number' ? 'must be an object' : issue.message;
  return path === '' ? what : `${path} ${what}`;
};

/** FANA_PROVIDER_LIMITS: `{"openai":{"gpt-image-2":{"images_per_minute":600},"*":{"requests_per_minute":500}}}`. */
export const providerLimits = z.string().transform((text, context): ProviderLimits => {
  const json = parseJson(text);
  const parsed = schema.safeParse(json?.value);
  if (parsed.success) return parsed.data;
  for (const problem of json ? parsed.error.issues.map(problemOf) : ['must be JSON']) context.issues.push({ code: 'custom', message: problem, input: text });
  return z.NEVER;
});

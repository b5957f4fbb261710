import { z } from 'zod';
import { callMetadata } from './metadata.ts';

const imageUrl = z
  .string()
  .refine((url) => url.startsWith('data:') || (/^https?:\/\//i.test(url) && url.length <= 8192 && URL.canParse(url)), 'must be an http, https or data URL');

const textPart = z.looseObject({ type: z.literal('text'), text: z.string() });
const imagePart = z.looseObject({
  type: z.literal('image_url'),
  image_url: z.looseObject({ url: imageUrl, detail: z.enum(['auto', 'low', 'high']).optional() }),
});
/** Files, audio, refusals and what is still to come: passed on as they came. */
const otherPart = z.looseObject({ type: z.string().refine((type) => type !== 'text' && type !== 'image_url') });

const KNOWN_PARTS: Readonly<Record<string, z.ZodType>> = { text: textPart, image_url: imagePart };

/** A known part is checked as what it says it is, so that the fault is named by its own field. */
const part = z.looseObject({ type: z.string() }).superRefine((given, context) => {
  const known = Object.hasOwn(KNOWN_PARTS, given.type) ? KNOWN_PARTS[given.type] : undefined;
  for (const { message, path } of known?.safeParse(given).error?.issues ?? []) context.addIssue({ code: 'custom', message, path });
});
/** A content part, after its check. */
export type ChatBodyPart = z.output<typeof textPart> | z.output<typeof imagePart> | z.output<typeof otherPart>;

const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(part).max(1000)], { error: 'must be a string or a list of content parts' }).nullish(),
});
/** A message of the body. */
export type ChatBodyMessage = z.output<typeof message>;

const counted = z.int().min(1).max(10_000_000).nullish();
const typed = z.looseObject({ type: z.string() });
const word = z.string().max(1000).nullish();

/** What is known of OpenAI's body is checked by its type; whether a model takes it, and what else there is, is for its family to say. */
export const chatBody = z.looseObject({
  model: z.string().min(1).max(200),
  messages: z.array(message).min(1).max(10_000),
  metadata: callMetadata,
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.literal(false).nullish() }).nullish(),
  n: z.int().min(1).max(128).nullish(),
  max_tokens: counted,
  max_completion_tokens: counted,
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(64)], { error: 'must be a string or a list of strings' }).nullish(),
  seed: z.int().nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(typed).max(1000).nullish(),
  tool_choice: z.union([z.string(), typed], { error: 'must be a string or an object with a type' }).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  functions: z
    .array(z.looseObject({ name: z.string() }))
    .max(1000)
    .nullish(),
  function_call: z.union([z.string(), z.looseObject({ name: z.string() })], { error: 'must be a string or an object with a name' }).nullish(),
  response_format: typed.nullish(),
  reasoning_effort: word,
  verbosity: word,
  service_tier: word,
  user: word,
  safety_identifier: word,
  prompt_cache_key: word,
  store: z.boolean().nullish(),
  modalities: z.array(z.string()).max(10).nullish(),
  prediction: typed.nullish(),
});

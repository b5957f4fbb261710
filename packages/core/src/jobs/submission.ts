import { z } from 'zod';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';
import { parseWith } from '../parse.ts';
import { MAX_TOP_K } from '../retrieval/collection.ts';
import { languageSchema } from '../sessions/language-tag.ts';
import { anyParameters } from './catalog.ts';
import { END_EVENTS, MESSAGE_TYPES } from './job.ts';

/** Longest text of one message: far over any model's window, far under the body limit. */
export const MAX_TEXT_CHARS = 1_000_000;
/** Attached pictures of one job. */
const MAX_IMAGES = 16;
const MAX_RUN_AT_SECONDS = 30 * 24 * 3600;

const text = z.string().max(MAX_TEXT_CHARS, `must have at most ${MAX_TEXT_CHARS} characters`);
const webUrl = z
  .string()
  .max(8192)
  .refine((value) => /^https?:\/\//i.test(value) && URL.canParse(value), 'must be an http or https URL');

const image = z
  .strictObject({ url: webUrl.optional(), data: z.string().min(1).optional(), media_type: z.string().max(100).optional(), blob_id: z.string().optional() })
  .refine(({ url, data, blob_id }) => [url, data, blob_id].filter((given) => given !== undefined).length === 1, 'must have one of url, data and blob_id');

const contentPart = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text }),
  z.strictObject({
    type: z.literal('image_url'),
    image_url: z.strictObject({
      url: z
        .string()
        .refine(
          (value) => value.startsWith('data:') || (/^https?:\/\//i.test(value) && value.length <= 8192 && URL.canParse(value)),
          'must be an http, https or data URL',
        ),
      detail: z.enum(['auto', 'low', 'high']).optional(),
    }),
  }),
]);

const message = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([text, z.array(contentPart).min(1).max(100)], { error: 'must be a string or a list of content parts' }),
  name: z.string().max(64).optional(),
});

/** The pairs a client keeps on an object. */
export const metadataSchema = z
  .record(z.string().max(64, 'keys have at most 64 characters'), z.string().max(512, 'values have at most 512 characters'))
  .refine((pairs) => Object.keys(pairs).length <= 16, 'must have at most 16 pairs');

/** Fields of the contract whose features are not built yet: refused by name, never ignored. */
const NOT_BUILT_YET = ['max_cost_usd'] as const;

const textInput = z.strictObject({ text: text.optional(), images: z.array(image).max(MAX_IMAGES).optional() });
const messagesInput = z.strictObject({ messages: z.array(message).min(1).max(2000) });

/** The body of `POST /v1/jobs` but its `input`, which `parseSubmission` checks by the form it has. */
const envelope = z.strictObject({
  type: z.enum(['auto', ...MESSAGE_TYPES], { error: `must be auto, ${MESSAGE_TYPES.join(', ')}; embeddings come by POST /v1/embeddings` }).optional(),
  input: z.unknown(),
  model: z.string().min(1).max(200).optional(),
  parameters: anyParameters.optional(),
  system: text.optional(),
  webhook: z
    .strictObject({
      url: webUrl,
      events: z.array(z.enum(END_EVENTS)).min(1).max(END_EVENTS.length).optional(),
    })
    .optional(),
  session_id: z
    .string()
    .refine((id) => isId('ses', id), 'must be the id of a session')
    .optional(),
  language: languageSchema.optional(),
  retrieval: z
    .strictObject({
      collection_id: z.string().max(100),
      top_k: z.int().min(1, 'must be at least 1').max(MAX_TOP_K, `must be at most ${MAX_TOP_K}`).optional(),
    })
    .optional(),
  priority: z.int().min(1).max(10).optional(),
  run_at: z.number().min(0).optional(),
  deadline_seconds: z.int().min(1).max(MAX_RUN_AT_SECONDS).optional(),
  metadata: metadataSchema.optional(),
});

/** `input` in the form it was sent; a plain string is `{ text }`. */
type SubmittedInput = z.output<typeof textInput> | z.output<typeof messagesInput>;
/** An attached picture: one of url, base64 data and blob id. */
export type SubmittedImage = z.output<typeof image>;
/** The body of `POST /v1/jobs`, checked. */
export type Submission = Omit<z.output<typeof envelope>, 'input'> & { input: SubmittedInput };

const parseInput = (input: unknown): SubmittedInput => {
  if (typeof input === 'string') return { text: parseWith(text, input, ['input']) };
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new AppError('invalid_request', 'input: must be a string, {"text","images"} or {"messages"}.', { param: 'input' });
  }
  return 'messages' in input ? parseWith(messagesInput, input, ['input']) : parseWith(textInput, input, ['input']);
};

/**
 * Checks the body of `POST /v1/jobs`.
 * @throws AppError `invalid_request` or `unsupported_parameter`, with `param`.
 */
export const parseSubmission = (body: unknown, nowMs: number): Submission => {
  if (typeof body === 'object' && body !== null) {
    for (const name of NOT_BUILT_YET) {
      if (name in body) throw new AppError('unsupported_parameter', `${name} is not supported yet.`, { param: name });
    }
  }
  const parsed = parseWith(envelope, body);
  if (parsed.run_at !== undefined && parsed.run_at > nowMs / 1000 + MAX_RUN_AT_SECONDS) {
    throw new AppError('invalid_request', 'run_at: must be at most 30 days ahead.', { param: 'run_at' });
  }
  return { ...parsed, input: parseInput(parsed.input) };
};

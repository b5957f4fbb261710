import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { EmbeddingInput, EmbeddingOutput } from '../jobs/job.ts';
import { previewOf } from '../jobs/spec-line.ts';
import { parseWith } from '../parse.ts';
import { decodeVector } from '../providers/vector.ts';
import type { Endpoint, EndpointCall, Finished } from './endpoint.ts';
import { withoutNulls } from './without-nulls.ts';

/** OpenAI's limits of one request. */
const MAX_INPUTS = 2048;
const MAX_TOKENS = 8192;

const body = z.looseObject({
  model: z.string().min(1).max(200),
  input: z.unknown(),
  dimensions: z.int().min(1).max(100_000).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  user: z.string().max(1000).nullish(),
});

const text = z.string().min(1, 'must not be an empty string');
const tokens = z
  .array(z.int().min(0, 'must be token ids'), 'must be a string or an array of token ids')
  .min(1, 'must not be empty')
  .max(MAX_TOKENS, `must have at most ${MAX_TOKENS} tokens`);

/** One text or many, each as it came or as tokens; which of the four it is, its first element says. @throws AppError `invalid_request` */
const parseInputs = (input: unknown): EmbeddingInput[] => {
  if (input === undefined || input === null) throw new AppError('invalid_request', 'input: is required.', { param: 'input' });
  if (typeof input === 'string') return [parseWith(text, input, ['input'])];
  if (!Array.isArray(input)) throw new AppError('invalid_request', 'input: must be a string or an array.', { param: 'input' });
  if (input.length === 0) throw new AppError('invalid_request', 'input: must not be empty.', { param: 'input' });
  const [first] = input;
  if (typeof first === 'number') return [parseWith(tokens, input, ['input'])];
  if (input.length > MAX_INPUTS) throw new AppError('invalid_request', `input: must have at most ${MAX_INPUTS} elements.`, { param: 'input' });
  return parseWith(z.array(typeof first === 'string' ? text : tokens), input, ['input']);
};

const parse = async (given: Record<string, unknown>): Promise<EndpointCall> => {
  const { model, input, encoding_format, ...parameters } = parseWith(body, given);
  const texts = parseInputs(input);
  const [first = ''] = texts;
  return {
    type: 'embedding',
    model,
    input: { text: typeof first === 'string' ? previewOf(first) : '', images: [], texts },
    parameters: withoutNulls(parameters),
    echo: { encoding_format: encoding_format ?? 'float' },
    metadata: {},
  };
};

const toNumbers = (vector: string): number[] => {
  const numbers = decodeVector(vector);
  if (!numbers) throw new AppError('storage_error', 'A stored vector cannot be read.');
  return Array.from(numbers);
};

const present = async ({ output, usage, servedBy, spec }: Finished): Promise<Record<string, unknown>> => {
  const { vectors } = output as EmbeddingOutput;
  const isBase64 = spec.echo?.['encoding_format'] === 'base64';
  const tokenCount = usage?.inputTokens ?? 0;
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: isBase64 ? vector : toNumbers(vector) })),
    model: servedBy?.model ?? spec.model,
    usage: { prompt_tokens: tokenCount, total_tokens: tokenCount },
  };
};

/** `POST /v1/embeddings`. */
export const embeddings: Endpoint = {
  name: 'embeddings',
  url: '/v1/embeddings',
  parse: (_, _tenant, given) => parse(given),
  present: (_, finished) => present(finished),
};

import type OpenAI from 'openai';
import { z } from 'zod';
import type { Usage } from '../../jobs/job.ts';
import { type Account, badResponse, toProviderError } from '../errors.ts';
import { familyOf } from '../models.ts';
import { translateParameters } from '../parameters.ts';
import type { CallOptions, EmbeddingRequest, EmbeddingResult } from '../provider.ts';
import { decodeVector } from '../vector.ts';
import type { OpenaiAccount } from './account.ts';

// The vectors themselves are read by hand: there may be millions of numbers.
const replySchema = z.object({
  data: z.array(z.object({ index: z.int().min(0).optional(), embedding: z.unknown() })),
  model: z.string().optional().catch(undefined),
  usage: z
    .object({ prompt_tokens: z.int().min(0).optional() })
    .optional()
    .catch(undefined),
});
type Reply = z.output<typeof replySchema>;

const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'number');

const readVector = (account: Account, embedding: unknown): Float32Array => {
  const vector = typeof embedding === 'string' ? decodeVector(embedding) : isNumbers(embedding) ? Float32Array.from(embedding) : undefined;
  if (!vector) throw badResponse(account, 'a vector that cannot be read');
  return vector;
};

/** The vectors in the order of their inputs, whatever order the reply has. */
const inOrder = (account: Account, { data }: Reply, count: number): Float32Array[] => {
  if (data.length !== count) throw badResponse(account, `${data.length} vectors for ${count} texts`);
  const ordered: Float32Array[] = [];
  for (const [at, { index = at, embedding }] of data.entries()) ordered[index] = readVector(account, embedding);
  if (ordered.length !== count || Object.keys(ordered).length !== count) throw badResponse(account, 'vectors that do not say whose they are');
  if (ordered.some((vector) => vector.length !== ordered[0]?.length)) throw badResponse(account, 'vectors of different lengths');
  return ordered;
};

const usageOf = ({ usage }: Reply): Usage => (usage?.prompt_tokens === undefined ? {} : { inputTokens: usage.prompt_tokens, outputTokens: 0 });

/** One `POST /embeddings`. See `Provider.embed` for what it throws. */
export const openaiEmbed = async (account: OpenaiAccount, request: EmbeddingRequest, options: CallOptions): Promise<EmbeddingResult> => {
  const { model, inputs } = request;
  const family = familyOf('openai', model, 'any-embedding');
  const parameters = translateParameters(family, model, request.parameters);
  const { client, state } = account.begin(account.limits.embedding, options);
  try {
    const body: OpenAI.EmbeddingCreateParams = {
      ...parameters,
      model,
      input: inputs as string[] | number[][],
      // A quarter of the bytes; other servers do not all know it, and every one knows floats.
      encoding_format: family === 'any-embedding' ? 'float' : 'base64',
    };
    const reply: unknown = await client.embeddings.create(body);
    // Some servers answer 200 with their error in it.
    if (typeof reply === 'object' && reply !== null && 'error' in reply && reply.error)
      throw Object.assign(new Error('an error in a reply of status 200'), { error: reply.error });
    const parsed = replySchema.safeParse(reply);
    if (!parsed.success) throw badResponse(account, 'a reply that holds no vectors');
    return { vectors: inOrder(account, parsed.data, inputs.length), usage: usageOf(parsed.data), model: parsed.data.model ?? model };
  } catch (thrown) {
    throw toProviderError(thrown, state, account);
  }
};

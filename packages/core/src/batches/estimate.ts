import type { Deps } from '../deps.ts';
import type { EndpointCall } from '../endpoints/endpoint.ts';
import type { Usage } from '../jobs/job.ts';

/** A low guess of characters a token, so that the estimate is a high one. */
const CHARACTERS_PER_TOKEN = 3;
/** Tokens of a picture that is looked at or edited. */
const TOKENS_PER_PICTURE = 1500;
/** Of an answer whose request names no limit. */
const USUAL_OUTPUT_TOKENS = 4096;

/**
 * Output tokens of a picture of 1024 × 1024, as the vendor's table of gpt-image-1 and 1.5 has them (1,056 for medium); other sizes by their
 * area. `auto` may be any of them: the highest is reserved.
 */
const TOKENS_BY_QUALITY: Readonly<Record<string, number>> = { low: 272, medium: 1056, standard: 1056, high: 4160, hd: 4160, xhigh: 6240, max: 8320 };
const SQUARE = 1024 * 1024;

const countOf = (value: unknown, otherwise: number): number => (typeof value === 'number' ? value : otherwise);

const pictureTokens = ({ size, quality, n }: Record<string, unknown>): number => {
  const [width = 1024, height = 1024] =
    typeof size === 'string' && /^\d+x\d+$/.test(size) ? size.split('x').map(Number) : size === undefined ? [] : [1536, 1024];
  const tokens = (typeof quality === 'string' ? TOKENS_BY_QUALITY[quality] : undefined) ?? TOKENS_BY_QUALITY['high'] ?? 0;
  return Math.ceil(tokens * Math.max(1, (width * height) / SQUARE) * countOf(n, 1));
};

const inputCharacters = ({ input }: EndpointCall): number => JSON.stringify(input.messages ?? input.texts ?? input.text).length;

const picturesOf = ({ input }: EndpointCall): number =>
  input.images.length +
  (input.messages ?? []).reduce((sum, { content }) => sum + (Array.isArray(content) ? content.filter(({ type }) => type === 'image').length : 0), 0);

const usageOf = (call: EndpointCall): Usage => {
  const inputTokens = Math.ceil(inputCharacters(call) / CHARACTERS_PER_TOKEN) + picturesOf(call) * TOKENS_PER_PICTURE;
  if (call.type === 'image') return { inputTokens, outputTokens: pictureTokens(call.parameters) };
  if (call.type === 'chat' || call.type === 'vision') {
    return { inputTokens, outputTokens: countOf(call.parameters['max_tokens'], USUAL_OUTPUT_TOKENS) * countOf(call.parameters['n'], 1) };
  }
  return { inputTokens, outputTokens: 0 };
};

/**
 * What a call may cost in USD at the catalogue's prices: a high guess, reserved under a batch's cap before the call and replaced by the real
 * cost after it. Undefined when a model that may serve it has no known price: unknown is never 0.
 */
export const estimateUsd = (deps: Pick<Deps, 'providers'>, call: EndpointCall): number | undefined => {
  const usage = usageOf(call);
  const costs = deps.providers.targets(call.model, call.type).map(({ provider, model }) => deps.providers.costUsd(provider.name, model, usage));
  return costs.some((cost) => cost === undefined) ? undefined : Math.max(...(costs as number[]));
};

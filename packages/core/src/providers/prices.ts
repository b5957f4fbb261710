import type { Usage } from '../jobs/job.ts';
import { modelOf } from './models.ts';
import type { ProviderName } from './provider.ts';

const PER_MILLION = 1_000_000;

/**
 * What a call cost in USD, from the catalogue's prices and the provider's own count of tokens. Undefined when either is not known:
 * unknown is never 0. Tokens of a kind without a price of its own (cached ones) are charged as plain input.
 */
export const costUsd = (provider: ProviderName, id: string, usage: Usage): number | undefined => {
  const model = modelOf(id);
  const { inputTokens, outputTokens, imageInputTokens = 0, cachedInputTokens = 0, cacheWriteInputTokens = 0 } = usage;
  if (model?.provider !== provider || !model.price || inputTokens === undefined || outputTokens === undefined) return undefined;
  // Only models that put out no tokens have no price for them.
  const { input, output = 0, cachedInput = input, cacheWrite = input, imageInput = input } = model.price;
  const plain = Math.max(0, inputTokens - cachedInputTokens - cacheWriteInputTokens - imageInputTokens);
  const cached = cachedInputTokens * cachedInput + cacheWriteInputTokens * cacheWrite;
  return (plain * input + cached + imageInputTokens * imageInput + outputTokens * output) / PER_MILLION;
};

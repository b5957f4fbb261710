import { modelOf } from './models.ts';
import type { ProviderName } from './provider.ts';

/** How much fits into one call of a model, and how its tokens compare with those of o200k (sessions/tokens.ts). */
export type ContextSize = { contextTokens: number; maxOutputTokens: number; perToken: number };

/** A model the catalogue has no size of gets that of the smallest model its vendor still offers; an operator's own server a cautious one. */
const USUAL = { groq: 131_072, openai: 128_000, anthropic: 200_000, simulated: 128_000 } as const satisfies Record<ProviderName, number>;
const UNKNOWN_MODEL = 32_768;
const USUAL_OUTPUT = 4096;

/**
 * Tokens of a model for one of o200k, where no maintained tokenizer of its own is to be had: on the safe side of what vendors publish. Llama 3 has
 * 128k tokens, most of them of English; Claude's count is up to a third above OpenAI's.
 */
const PER_TOKEN = { 'groq-llama': 1.25, 'groq-qwen': 1.2, anthropic: 1.4 } as const;

const isNamed = (family: string): family is keyof typeof PER_TOKEN => family in PER_TOKEN;

/** What is known of the size of a call to this model. */
export const contextSize = (provider: ProviderName, id: string): ContextSize => {
  const model = modelOf(id);
  if (!model) return { contextTokens: UNKNOWN_MODEL, maxOutputTokens: USUAL_OUTPUT, perToken: provider === 'openai' ? 1 : 1.25 };
  return {
    contextTokens: model.contextTokens ?? USUAL[model.provider],
    maxOutputTokens: model.maxOutputTokens ?? USUAL_OUTPUT,
    perToken: isNamed(model.family) ? PER_TOKEN[model.family] : 1,
  };
};

/** What is kept for the answer when nobody says how long it may be: a quarter of the context at most. */
const reserveOf = ({ contextTokens, maxOutputTokens }: ContextSize): number => Math.min(USUAL_OUTPUT, maxOutputTokens, Math.floor(contextTokens / 4));

/** What may be said to a call that may be served by any of these models, in tokens of o200k; `maxTokens` is the answer's limit, if it has one. */
export const promptBudget = (sizes: ContextSize[], maxTokens: number | undefined): number =>
  Math.max(0, Math.min(...sizes.map((size) => Math.floor((size.contextTokens - (maxTokens ?? reserveOf(size))) / size.perToken))));

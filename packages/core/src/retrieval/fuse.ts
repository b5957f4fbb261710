import type { Embedding } from './collection.ts';
import type { Hit } from './table.ts';

/** How the halves are weighed: `k` is the constant of reciprocal rank fusion, how little the first ranks differ. */
type Weights = { k: number; fullText: number; vector: number };

/** Halves that are about as good as each other (Cormack et al. 2009). */
const EQUAL: Weights = { k: 60, fullText: 1, vector: 1 };
/**
 * A model that understands less than words tell: it decides between chunks whose words say as much, and finds what words do not. Chosen on the
 * sets of `npm run bench -- retrieval`, where equal weights cost a fifth of what full text alone finds.
 */
const WORDS_FIRST: Weights = { k: 5, fullText: 1, vector: 0.15 };

const weightsOf = ({ provider }: Embedding): Weights => (provider === 'local' || provider === 'simulated' ? WORDS_FIRST : EQUAL);

export type Fused = { hit: Hit; score: number };

/** Reciprocal rank fusion of both halves, the best first. A score of 1: first in both. */
export const fuse = (fullText: Hit[], vector: Hit[], embedding: Embedding): Fused[] => {
  const weights = weightsOf(embedding);
  const best = (weights.fullText + weights.vector) / (weights.k + 1);
  const fused = new Map<string, Fused>();
  const add = (hits: Hit[], weight: number): void => {
    const seen = new Set<string>();
    for (const hit of hits) {
      const key = `${hit.document_id} ${hit.chunk}`;
      // A chunk that was written twice counts once.
      if (seen.has(key)) continue;
      seen.add(key);
      const known = fused.get(key) ?? { hit, score: 0 };
      known.score += weight / (weights.k + seen.size) / best;
      fused.set(key, known);
    }
  };
  add(fullText, weights.fullText);
  add(vector, weights.vector);
  return [...fused.values()].sort((a, b) => b.score - a.score);
};

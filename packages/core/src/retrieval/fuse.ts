import type { Embedding } from './collection.ts';
import type { Hit } from './table.ts';

/** The usual constant of reciprocal rank fusion (Cormack et al. 2009): how little the first ranks differ. */
const K = 60;

/** How much the halves count. The small model in the house understands less than words tell; those of providers understand more. */
const weightsOf = ({ provider }: Embedding): { fullText: number; vector: number } =>
  provider === 'local' || provider === 'simulated' ? { fullText: 1, vector: 0.5 } : { fullText: 1, vector: 1 };

export type Fused = { hit: Hit; score: number };

/** Reciprocal rank fusion of both halves, the best first. A score of 1: first in both. */
export const fuse = (fullText: Hit[], vector: Hit[], embedding: Embedding): Fused[] => {
  const weights = weightsOf(embedding);
  const best = (weights.fullText + weights.vector) / (K + 1);
  const fused = new Map<string, Fused>();
  const add = (hits: Hit[], weight: number): void => {
    const seen = new Set<string>();
    for (const hit of hits) {
      const key = `${hit.document_id} ${hit.chunk}`;
      // A chunk that was written twice counts once.
      if (seen.has(key)) continue;
      seen.add(key);
      const known = fused.get(key) ?? { hit, score: 0 };
      known.score += weight / (K + seen.size) / best;
      fused.set(key, known);
    }
  };
  add(fullText, weights.fullText);
  add(vector, weights.vector);
  return [...fused.values()].sort((a, b) => b.score - a.score);
};

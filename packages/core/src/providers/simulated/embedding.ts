import type { EmbeddingInput } from '../../jobs/job.ts';
import { modelOf } from '../models.ts';
import type { CallOptions, EmbeddingRequest, EmbeddingResult } from '../provider.ts';
import { throwIfStopped } from './stop.ts';

const DEFAULT_DIMENSIONS = 256;
/** Parts of a word count less than the word: they bring its other forms near. */
const PART_WEIGHT = 0.3;

/** FNV-1a, 32 bits: fast, and the same everywhere. */
const hashOf = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
};

const wordsOf = (input: EmbeddingInput): string[] =>
  typeof input === 'string' ? (input.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [`=${input}`]) : input.map((token) => `#${token}`);

/** A unit vector of hashed words and parts of words: texts that share words are near, and the same text is always the same. */
const vectorOf = (input: EmbeddingInput, dimensions: number): Float32Array => {
  const vector = new Float32Array(dimensions);
  const add = (feature: string, weight: number): void => {
    const hash = hashOf(feature);
    const at = (hash >>> 1) % dimensions;
    vector[at] = (vector[at] ?? 0) + (hash & 1 ? weight : -weight);
  };
  for (const word of wordsOf(input)) {
    add(word, 1);
    if (word.startsWith('#')) continue;
    const padded = `<${word}>`;
    for (let at = 0; at + 3 <= padded.length; at++) add(padded.slice(at, at + 3), PART_WEIGHT);
  }
  let length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  // Words can cancel each other out, and a vector of nothing has no direction.
  if (length === 0) length = vector[0] = 1;
  return vector.map((value) => value / length);
};

const tokensIn = (input: EmbeddingInput): number => (typeof input === 'string' ? Math.max(1, Math.ceil(Buffer.byteLength(input) / 4)) : input.length);

/** Vectors of the words alone, without any understanding, as long as those of the model asked for. Usage is estimated for texts, exact for tokens. */
export const simulatedEmbed = async ({ model, inputs, parameters }: EmbeddingRequest, { signal }: CallOptions): Promise<EmbeddingResult> => {
  throwIfStopped(signal);
  const asked = parameters['dimensions'];
  const dimensions = typeof asked === 'number' ? asked : (modelOf(model)?.dimensions ?? DEFAULT_DIMENSIONS);
  return {
    vectors: inputs.map((input) => vectorOf(input, dimensions)),
    usage: { inputTokens: inputs.reduce((sum, input) => sum + tokensIn(input), 0), outputTokens: 0 },
    // Numbers cannot say that they are simulated, so the name of who made them does.
    model: 'simulated-embedding',
  };
};

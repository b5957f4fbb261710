import type { Example } from './examples.ts';

const GRAM_UNITS = 5;
const NEAR = 0.8;

/** The text without case, accents, punctuation and spacing: what two copies of a line still share. */
function normalizeForComparison(text: string): string {
  return text
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

function grams(text: string): Set<string> {
  const set = new Set<string>();
  const padded = ` ${text} `;
  for (let from = 0; from + GRAM_UNITS <= padded.length; from++) set.add(padded.slice(from, from + GRAM_UNITS));
  return set;
}

/** A test that says whether a line of ours is the same as, or nearly (5-gram Jaccard ≥ 0.8), a line of the dev set. */
export function contaminationTest(dev: readonly Example[]): (example: Example) => boolean {
  const exact = new Set<string>();
  const sets: Set<string>[] = [];
  const holders = new Map<string, number[]>();
  for (const { text } of dev) {
    const normalized = normalizeForComparison(text);
    exact.add(normalized);
    const set = grams(normalized);
    for (const gram of set) holders.set(gram, [...(holders.get(gram) ?? []), sets.length]);
    sets.push(set);
  }
  return ({ text }) => {
    const normalized = normalizeForComparison(text);
    if (normalized !== '' && exact.has(normalized)) return true;
    const own = grams(normalized);
    const shared = new Map<number, number>();
    for (const gram of own) for (const holder of holders.get(gram) ?? []) shared.set(holder, (shared.get(holder) ?? 0) + 1);
    for (const [holder, both] of shared) {
      if (both / (own.size + (sets[holder]?.size ?? 0) - both) >= NEAR) return true;
    }
    return false;
  };
}

import { expect, it } from 'vitest';
import type { Embedding } from './collection.ts';
import { fuse } from './fuse.ts';

const PROVIDER: Embedding = { provider: 'openai', model: 'm', dimensions: null };
const hit = (name: string, chunk = 0, strength = 1) => ({ document_id: name, version: 'v', chunk, text: name, path: '[]', strength });
const names = (fused: ReturnType<typeof fuse>): string[] => fused.map(({ hit: { document_id, chunk } }) => `${document_id}${chunk}`);

it('what both halves find comes before what one finds first; first in both is 1', () => {
  const fused = fuse([hit('a'), hit('b')], [hit('c'), hit('b')], PROVIDER);
  expect(names(fused)[0]).toBe('b0');
  expect(fuse([hit('a')], [hit('a')], PROVIDER)[0]?.score).toBeCloseTo(1);
});

it('a chunk that stands twice in a half counts once', () => {
  const once = fuse([hit('a'), hit('b')], [], PROVIDER);
  expect(fuse([hit('a'), hit('a'), hit('b')], [], PROVIDER)).toEqual(once);
});

it('a half that is not sure of itself does not crowd out the other', () => {
  const sure = [hit('a', 0, 12), hit('b', 0, 11)];
  expect(names(fuse(sure, [hit('c', 0, 0.1), hit('d', 0, 0.1)], PROVIDER))).toEqual(['a0', 'b0', 'c0', 'd0']);
  expect(names(fuse([], [hit('c', 0, 0.1)], PROVIDER))).toEqual(['c0']);
});

it('chunks of one document are chunks of their own', () => {
  expect(names(fuse([hit('a', 0), hit('a', 1)], [], PROVIDER))).toEqual(['a0', 'a1']);
});

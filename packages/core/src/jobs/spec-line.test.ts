import { expect, it } from 'vitest';
import { previewOf } from './spec-line.ts';

it.each([
  ['plain', 'a'.repeat(300), `${'a'.repeat(200)}…`],
  ['short', 'שלום', 'שלום'],
  ['a letter outside the BMP at the cut', `${'a'.repeat(199)}😀😀`, `${'a'.repeat(199)}…`],
  ['a letter with two marks at the cut', `${'a'.repeat(198)}ב\u05bc\u05b8ב`, `${'a'.repeat(198)}…`],
  ['an Arabic letter with a vowel at the cut', `${'م'.repeat(199)}ب\u064bم`, `${'م'.repeat(199)}…`],
])('a preview of %s is cut between characters', (_, text, preview) => {
  expect(previewOf(text)).toBe(preview);
  expect(previewOf(text).isWellFormed()).toBe(true);
});

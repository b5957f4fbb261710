import { describe, expect, it } from 'vitest';
import { countTokens, pictureTokens } from './tokens.ts';

describe('countTokens', () => {
  it.each([
    ['', 0],
    ['hello world', 2],
    ['The quick brown fox jumps over the lazy dog.', 10],
    ['ما هي عاصمة البيرو؟', 7],
    ['<|endoftext|>', 7],
  ])('counts %j as o200k does', async (text, tokens) => {
    expect(await countTokens(text)).toBe(tokens);
  });

  it('counts a text of many slices as the sum of its sentences', async () => {
    const sentence = 'A sentence about nothing in particular, said again. ';
    const one = await countTokens(sentence.trimEnd());
    const many = await countTokens(sentence.repeat(1000));
    expect(Math.abs(many - 1000 * one)).toBeLessThan(30);
  });

  it.each([
    ['one letter', 'a'.repeat(1_000_000)],
    ['no space', Array.from({ length: 100_000 }, (_, at) => String.fromCodePoint(0x4e00 + ((at * 7919) % 20_000))).join('')],
    ['spaces alone', ' '.repeat(500_000)],
    ['marks alone', '!?'.repeat(200_000)],
  ])('is not held up by a text of %s', async (_, text) => {
    const began = performance.now();
    expect(await countTokens(text)).toBeGreaterThan(1000);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('takes the rest of a very long text to be like the part that was counted', async () => {
    const counted = await countTokens('word '.repeat(40_000));
    const guessed = await countTokens('word '.repeat(160_000));
    expect(Math.abs(guessed / counted - 4)).toBeLessThan(0.05);
  });
});

describe('pictureTokens', () => {
  it('grows with the size up to a bound, is small in low detail, and large when nobody knows', () => {
    expect(pictureTokens({ width: 1024, height: 1024 })).toBe(85 + 32 * 32);
    expect(pictureTokens({ width: 8000, height: 8000 })).toBe(1600);
    expect(pictureTokens({ width: 1024, height: 1024 }, 'low')).toBe(85);
    expect(pictureTokens({})).toBe(1600);
  });
});

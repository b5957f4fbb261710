import { describe, expect, test } from 'vitest';
import { MAX_NESTING, tooDeepField } from './nesting.ts';

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

describe('nesting', () => {
  test('64 deep is allowed, 65 is not', () => {
    expect(tooDeepField(nested(MAX_NESTING))).toBeUndefined();
    expect(tooDeepField(nested(MAX_NESTING + 1))).toBe('body');
    expect(tooDeepField(`{"a":${nested(MAX_NESTING - 1)}}`)).toBeUndefined();
    expect(tooDeepField(`{"a":1,"input":${nested(MAX_NESTING)}}`)).toBe('input');
  });

  test('names no field that is no plain word', () => {
    expect(tooDeepField(`{"<b>":${nested(MAX_NESTING)}}`)).toBe('body');
    expect(tooDeepField(`{"${'a'.repeat(65)}":${nested(MAX_NESTING)}}`)).toBe('body');
  });

  test('many brackets side by side are not deep', () => {
    expect(tooDeepField(JSON.stringify(Array.from({ length: 1000 }, () => [{}])))).toBeUndefined();
  });

  test('brackets in strings do not count, whatever is escaped around them', () => {
    for (const text of ['['.repeat(100), '"['.repeat(100), '\\"{'.repeat(100), `${'\\'.repeat(7)}"[`.repeat(100), `${'\\'.repeat(8)}[`.repeat(100)]) {
      expect(tooDeepField(JSON.stringify({ [text]: text, after: text }))).toBeUndefined();
    }
    expect(tooDeepField(`{"a\\\\":${nested(MAX_NESTING)}}`)).toBeDefined();
  });

  test('agrees with a count made on the parsed value for 2,000 random documents', () => {
    const depthOf = (value: unknown): number => (typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0);
    let seed = 42;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const strings = ['', '"', '\\', '[', '{"', '\\"', ']', '}', 'plain', '\\\\"['];
    for (let round = 0; round < 2000; round++) {
      let value: unknown = strings[random(strings.length)];
      const layers = 40 + random(50);
      for (let layer = 0; layer < layers; layer++) {
        const text = strings[random(strings.length)] ?? '';
        value = random(2) === 0 ? [text, value, text] : { [text]: text, x: value, [`${text}2`]: text };
      }
      const text = JSON.stringify(value);
      expect(tooDeepField(text) !== undefined).toBe(depthOf(value) > MAX_NESTING);
    }
  });

  test('an unfinished string or a text of quotes ends the search', () => {
    for (const text of ['"', '"\\', '"\\"', '{"a', '"'.repeat(1001), '\\'.repeat(1000)]) expect(tooDeepField(text)).toBeUndefined();
  });

  test('stays linear on strings full of escapes', () => {
    // 4 MB of \\ and of \" : a search that starts again for each quote would take minutes.
    for (const unit of ['\\\\', '\\"']) expect(tooDeepField(`"${unit.repeat(2_000_000)}"`)).toBeUndefined();
  });
});

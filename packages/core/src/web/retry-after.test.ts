import { describe, expect, test } from 'vitest';
import { parseRetryAfter } from './retry-after.ts';

const NOW = Date.UTC(2026, 0, 1, 12);

describe('Retry-After', () => {
  test.each([
    ['0', 0],
    ['7', 7000],
    ['1.5', 1500],
    [' 30 ', 30_000],
    ['Thu, 01 Jan 2026 12:01:00 GMT', 60_000],
    ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ])('"%s" is %i ms', (value, expected) => {
    expect(parseRetryAfter(value, NOW)).toBe(expected);
  });

  test.each([undefined, '', ' ', '-1', 'soon', 'Infinity', 'NaN'])('"%s" is no wish', (value) => {
    expect(parseRetryAfter(value, NOW)).toBeUndefined();
  });
});

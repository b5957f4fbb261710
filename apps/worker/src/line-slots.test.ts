import { expect, test } from 'vitest';
import { adaptSlots } from './line-slots.ts';

const after = (most: number, start: number, looks: number[]): number => {
  const limit = { concurrency: start };
  for (const busy of looks) adaptSlots(limit, most, busy);
  return limit.concurrency;
};

test('a busy loop takes slots from lines, but never all of them', () => {
  expect(after(64, 64, [0.95])).toBe(48);
  expect(after(64, 64, Array(50).fill(1))).toBe(4);
  expect(after(2, 2, [1, 1, 1])).toBe(2);
});

test('a free loop gives them back, up to what was set', () => {
  expect(after(64, 4, [0.1])).toBe(12);
  expect(after(64, 4, Array(50).fill(0))).toBe(64);
});

test('in between nothing changes', () => {
  expect(after(64, 30, [0.7, 0.79, 0.66])).toBe(30);
});

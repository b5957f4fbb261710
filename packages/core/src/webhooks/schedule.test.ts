import { describe, expect, test } from 'vitest';
import { DELIVERY_DELAYS_MS, nextDelayMs } from './schedule.ts';

const HOUR_MS = 3_600_000;
/** Contract 6, in words of its own. */
const CONTRACT_SECONDS = [0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

describe('the schedule of deliveries', () => {
  test('is the one of the contract, about 75 hours in all', () => {
    expect(DELIVERY_DELAYS_MS.map((delay) => delay / 1000)).toEqual(CONTRACT_SECONDS);
    expect(DELIVERY_DELAYS_MS.reduce((sum, delay) => sum + delay, 0) / HOUR_MS).toBeCloseTo(75.6, 1);
  });

  test('waits 5 s after the first attempt, 24 h after the ninth, and gives up after the tenth', () => {
    const middle = () => 0.5;
    for (let made = 1; made <= 9; made++) expect(nextDelayMs(made, undefined, middle)).toBeCloseTo((CONTRACT_SECONDS[made] ?? 0) * 1000, 5);
    expect(nextDelayMs(10, undefined, middle)).toBeUndefined();
    expect(nextDelayMs(11, 5000, middle)).toBeUndefined();
  });

  test('has jitter of 10 % either way, and no more', () => {
    for (let made = 1; made <= 9; made++) {
      const planned = (CONTRACT_SECONDS[made] ?? 0) * 1000;
      expect(nextDelayMs(made, undefined, () => 0)).toBeCloseTo(planned * 0.9, 5);
      expect(nextDelayMs(made, undefined, () => 0.999999)).toBeLessThanOrEqual(planned * 1.1);
    }
    const drawn = new Set(Array.from({ length: 50 }, () => nextDelayMs(3, undefined)));
    expect(drawn.size).toBeGreaterThan(10);
  });

  test('obeys a Retry-After that is longer, never one that is shorter, and none beyond a day', () => {
    expect(nextDelayMs(1, 60_000, () => 0.5)).toBe(60_000);
    expect(nextDelayMs(2, 1000, () => 0.5)).toBeCloseTo(300_000, 5);
    expect(nextDelayMs(1, 30 * 24 * HOUR_MS, () => 0.5)).toBe(24 * HOUR_MS);
  });
});

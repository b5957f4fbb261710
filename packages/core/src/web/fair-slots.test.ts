import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createFairSlots } from './fair-slots.ts';

it('runs so many at once, and owners take turns', async () => {
  const slots = createFairSlots(2);
  const order: string[] = [];
  let running = 0;
  let most = 0;
  const step = (name: string) => async (): Promise<void> => {
    most = Math.max(most, ++running);
    order.push(name);
    await turn();
    running--;
  };
  const all = ['a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'c1', 'b2'].map((name) => slots(name[0] as string, step(name)));
  await Promise.all(all);
  expect(order).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2', 'a5']);
  expect(most).toBe(2);
});

it('hands a slot on when its step fails', async () => {
  const slots = createFairSlots(1);
  const failing = slots('a', async () => {
    await turn();
    throw new Error('no');
  });
  const next = slots('a', async () => 'ran');
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe('ran');
  expect(await slots('b', async () => 'free again')).toBe('free again');
});

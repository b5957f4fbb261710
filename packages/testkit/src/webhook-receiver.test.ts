import { expect, test } from 'vitest';
import { startReceiver } from './webhook-receiver.ts';

test('records headers and raw body, and answers as told', async () => {
  const receiver = await startReceiver({
    respond: (_, number) => (number === 0 ? 500 : number === 1 ? { status: 429, headers: { 'retry-after': '7' } } : 200),
  });
  const body = '{ "a" : "ü" }';
  const send = () => fetch(receiver.url, { method: 'POST', body, headers: { 'webhook-id': 'evt_1' } });
  expect((await send()).status).toBe(500);
  const second = await send();
  expect([second.status, second.headers.get('retry-after')]).toEqual([429, '7']);
  expect((await send()).status).toBe(200);
  const [first] = await receiver.waitFor(3);
  expect(first).toMatchObject({ method: 'POST', path: '/hook', body });
  expect(first?.headers['webhook-id']).toBe('evt_1');
  await receiver.stop();
});

test('hangs up without an answer, and says how many came when too few do', async () => {
  const receiver = await startReceiver({ respond: () => 'hangUp' });
  await expect(fetch(receiver.url, { method: 'POST', body: 'x' })).rejects.toThrow();
  await expect(receiver.waitFor(2, 50)).rejects.toThrow('1 of 2');
  await receiver.stop();
});

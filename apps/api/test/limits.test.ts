import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApp, type TestApp } from './test-app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

const classify = (key: string) => app.call('/v1/triggers/classify', { key, body: { text: 'hello' } });

test('exactly N of 100 parallel requests pass a limit of N a minute', async () => {
  const { key } = await app.newKey({ requestsPerMinute: 17 });
  const replies = await Promise.all(Array.from({ length: 100 }, () => classify(key)));
  expect(replies.filter(({ status }) => status === 200)).toHaveLength(17);
  expect(replies.filter(({ status }) => status === 429)).toHaveLength(83);
  const remaining = replies.filter(({ status }) => status === 200).map(({ headers }) => Number(headers.get('x-ratelimit-remaining-requests')));
  expect(remaining.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 17 }, (_, left) => left));
});

test('the headers tell limit, rest and time, on the 429 too', async () => {
  const { key } = await app.newKey({ requestsPerMinute: 1 });
  const first = await classify(key);
  expect(first.headers.get('x-ratelimit-limit-requests')).toBe('1');
  expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('0');
  expect(first.headers.get('x-ratelimit-reset-requests')).toMatch(/^(\d{1,2}s|1m0s)$/);
  expect(first.headers.get('ratelimit')).toMatch(/^"default";r=0;t=\d{1,2}$/);
  expect(first.headers.get('ratelimit-policy')).toBe('"default";q=1;w=60');
  const second = await classify(key);
  expect(second.status).toBe(429);
  expect(second.json.error).toMatchObject({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
  expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(second.headers.get('x-ratelimit-remaining-requests')).toBe('0');
  expect(second.headers.get('ratelimit-policy')).toBe('"default";q=1;w=60');
});

test('job submissions and other requests count together', async () => {
  const { key } = await app.newKey({ requestsPerMinute: 3 });
  const submit = () => app.call('/v1/jobs', { key, body: { input: 'hello' } });
  expect((await submit()).status).toBe(202);
  expect((await classify(key)).status).toBe(200);
  expect((await submit()).status).toBe(202);
  expect((await classify(key)).status).toBe(429);
  expect((await submit()).status).toBe(429);
});

test('reading is not counted', async () => {
  const { key } = await app.newKey({ requestsPerMinute: 1 });
  for (let read = 0; read < 5; read++) {
    const { status, headers } = await app.call('/v1/models', { key });
    expect(status).toBe(200);
    expect(headers.has('x-ratelimit-limit-requests')).toBe(false);
  }
  expect((await classify(key)).status).toBe(200);
});

test('a key without a limit has no such headers', async () => {
  const { headers } = await classify((await app.newKey()).key);
  expect([...headers.keys()].filter((name) => name.includes('ratelimit'))).toEqual([]);
});

import { saveBlob } from '@fana/core/blobs/store.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiCall, startTestApp, type TestApp } from './test-app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

test('every route answers 503 within 2 s while Redis hangs and while it is gone, and works again afterwards', async () => {
  const { key } = await app.newKey({ requestsPerMinute: 1000 });
  const { id } = await saveBlob(app.deps, { tenant: 'acme', bytes: Buffer.from('x'), mediaType: 'image/png' });
  const chat = { model: 'chat-default', messages: [{ role: 'user', content: 'Hi' }] };
  const calls: [string, ApiCall][] = [
    ['/v1/models', { key: (await app.newKey()).key }],
    ['/v1/admin/keys', {}],
    ['/v1/admin/keys', { body: { name: 'x' } }],
    ['/v1/admin/keys', { body: { name: 'x' }, headers: { 'idempotency-key': 'away' } }],
    ['/v1/admin/keys/key_0123456789abcdefghijkl', { method: 'DELETE' }],
    ['/v1/triggers/classify', { key, body: { text: 'hello' } }],
    [`/v1/blobs/${id}`, { key: (await app.newKey()).key }],
    ['/v1/webhook_endpoints/default/secret', {}],
    ['/v1/webhook_endpoints', {}],
    ['/v1/webhook_endpoints', { body: { name: 'x', url: 'https://example.com/', event_types: ['job.completed'] } }],
    ['/v1/webhook_endpoints/whe_0123456789abcdefghijkl/test', { body: { event_type: 'job.completed' } }],
    ['/v1/webhook_endpoints/default/deliveries', {}],
    ['/v1/webhook_deliveries/whd_0123456789abcdefghijkl/redeliver', { method: 'POST' }],
    ['/v1/chat/completions', { body: chat }],
    ['/v1/chat/completions', { body: { ...chat, stream: true } }],
    ['/v1/chat/completions', { body: chat, headers: { 'x-stainless-retry-count': '1' } }],
    ['/readyz', { key: '' }],
  ];
  const expectAway = async (): Promise<void> => {
    await Promise.all(
      calls.map(async ([path, call]) => {
        const started = Date.now();
        const { status, json, headers } = await app.call(path, call);
        expect([path, status, json.error.code]).toEqual([path, 503, 'unavailable']);
        expect(Date.now() - started).toBeLessThan(2000);
        expect(headers.get('retry-after')).toBe('1');
      }),
    );
    expect((await app.call('/healthz', { key: '' })).status).toBe(200);
  };
  app.redis.pause();
  await expectAway();
  app.redis.resume();
  await app.redis.kill();
  await expectAway();
  await app.redis.restart();
  await expect.poll(async () => (await app.call('/readyz', { key: '' })).status, { timeout: 5000 }).toBe(200);
  expect((await app.call('/v1/admin/keys', { body: { name: 'again' } })).status).toBe(200);
});

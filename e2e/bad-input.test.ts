import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Installation, startInstallation } from './support/installation.ts';

let fana: Installation;
beforeAll(async () => {
  fana = await startInstallation();
});
afterAll(async () => {
  expect(fana.api.child.exitCode).toBeNull();
  await fana.stop();
});

type Answer = { status: number; body: { error?: { message: string; code: string; param: string | null; type: string }; request_id?: string } };
const send = async (rawBody: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> => {
  const response = await fana.request('/v1/jobs', { rawBody, headers });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
};

it.each([
  ['nothing', '', 400, 'body'],
  ['malformed JSON', '{"input":', 400, 'body'],
  ['a trailing comma', '{"input":"x",}', 400, 'body'],
  ['not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), 400, 'body'],
  ['a list', '[]', 400, 'body'],
  ['a string', '"hi"', 400, 'body'],
  ['null', 'null', 400, 'body'],
  ['a 100,000-deep array', `{"input":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 400, 'input'],
  ['a 100,000-deep object', `${'{"input":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 400, 'input'],
  ['an 11 MB body', JSON.stringify({ input: 'x'.repeat(11 * 1024 * 1024) }), 413, 'body'],
  ['an unknown field', '{"input":"x","tenant":"other"}', 400, 'tenant'],
  ['a prototype', '{"input":"x","__proto__":{"admin":true}}', 400, '__proto__'],
  ['an unknown field inside', '{"input":{"text":"x","tenantId":"y"}}', 400, 'input.tenantId'],
  ['no input', '{}', 400, 'input'],
  ['an empty input', '{"input":"  "}', 400, 'input'],
  ['input of a wrong type', '{"input":42}', 400, 'input'],
  ['images of a wrong type', '{"input":{"text":"x","images":"y"}}', 400, 'input.images'],
  ['an image that is nothing', '{"input":{"text":"x","images":[{}]}}', 400, 'input.images.0'],
  ['an image address that is none', '{"input":{"text":"x","images":[{"url":"not a url"}]}}', 400, 'input.images.0.url'],
  ['an image address of another scheme', '{"input":{"text":"x","images":[{"url":"file:///etc/passwd"}]}}', 400, 'input.images.0.url'],
  ['an unknown type', '{"input":"x","type":"video"}', 400, 'type'],
  ['an unknown model', '{"input":"x","model":"nope"}', 400, 'model'],
  ['an unknown parameter', '{"input":"x","parameters":{"colour":"red"}}', 400, 'parameters.colour'],
  ['a parameter out of range', '{"input":"x","parameters":{"temperature":3}}', 400, 'parameters.temperature'],
  ['a number too large', '{"input":"x","priority":1e400}', 400, 'priority'],
  ['a bad webhook address', '{"input":"x","webhook":{"url":"javascript:alert(1)"}}', 400, 'webhook.url'],
  ['a private webhook address', '{"input":"x","webhook":{"url":"http://127.0.0.1/"}}', 400, 'webhook.url'],
  ['a webhook address with a password', '{"input":"x","webhook":{"url":"http://a:b@example.com/"}}', 400, 'webhook.url'],
  ['an unknown event', '{"input":"x","webhook":{"url":"https://example.com/","events":["job.exploded"]}}', 400, 'webhook.events.0'],
  ['metadata with a number', '{"input":"x","metadata":{"a":1}}', 400, 'metadata.a'],
  ['17 pairs of metadata', JSON.stringify({ input: 'x', metadata: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${n}`, 'v'])) }), 400, 'metadata'],
  ['a start too far ahead', '{"input":"x","run_at":99999999999}', 400, 'run_at'],
  ['a session id that is none', '{"input":"x","session_id":"ses_1"}', 400, 'session_id'],
  ['a negative deadline', '{"input":"x","deadline_seconds":-1}', 400, 'deadline_seconds'],
  ['a reply language', '{"input":"x","language":"xx"}', 400, 'language'],
  ['a collection that is none', '{"input":"x","retrieval":{"collection_id":"col_1"}}', 404, 'retrieval.collection_id'],
  ['a cost limit', '{"input":"x","max_cost_usd":0.5}', 400, 'max_cost_usd'],
])('%s is answered with a clear error and its field', async (_, body, status, param) => {
  const answer = await send(body);
  expect([answer.status, answer.body.error?.param]).toEqual([status, param]);
  expect(answer.body.error?.message.length).toBeGreaterThan(10);
  expect(answer.body.error?.code).toMatch(/^[a-z_]+$/);
  expect(answer.body.request_id).toMatch(/^req_/);
});

it('a filter of a feature not built yet is refused by name', async () => {
  const response = await fana.request('/v1/jobs?session_id=ses_1');
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { code: 'invalid_request', param: 'session_id' } });
});

it.each([
  ['GET', '/v1/jobs?limit=0', 400, 'limit'],
  ['GET', '/v1/jobs?limit=x', 400, 'limit'],
  ['GET', '/v1/jobs?status=done', 400, 'status'],
  ['GET', '/v1/jobs?after=job_0000000000000000000000', 400, 'after'],
  ['GET', '/v1/jobs/nonsense', 404, null],
  ['GET', '/v1/jobs/%2e%2e%2f', 404, null],
  ['GET', '/v1/jobs/job_%00', 404, null],
  ['GET', '/v1/nothing', 404, null],
  ['GET', '/v1/blobs/..%2f..%2fetc%2fpasswd', 404, null],
])('%s %s is answered %d', async (method, path, status, param) => {
  const response = await fana.request(path, { method });
  const body = (await response.json()) as Answer['body'];
  expect([response.status, body.error?.param]).toEqual([status, param]);
});

it('strange text is accepted and comes back whole', async () => {
  for (const input of ['مرحبا، كيف حالك؟', 'e\u0301\u0000\u0007ok', '🦊'.repeat(300), '\ud800 lone', 'ﷺ'.repeat(50)]) {
    const job = await fana.submit({ type: 'chat', input }, { prefer: 'wait=30' });
    expect(job.status).toBe('completed');
  }
});

it('every reply has its request id and security headers, also errors', async () => {
  for (const path of ['/healthz', '/v1/jobs', '/v1/nothing']) {
    const { headers } = await fana.request(path);
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  }
});

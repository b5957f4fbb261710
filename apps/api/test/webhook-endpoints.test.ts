import { newId } from '@fana/core/ids.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { jobKey } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { signatureHeaders } from '@fana/core/webhooks/sign.ts';
import { readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import { type ReceiverOptions, startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ApiReply, startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

const PATH = '/v1/webhook_endpoints';
const EVENT_TYPES = [
  ...['job.completed', 'job.failed', 'job.cancelled', 'job.unknown_outcome'],
  ...['batch.completed', 'batch.failed', 'batch.expired', 'batch.cancelled', 'response.completed', 'response.failed'],
];
const BODY = { name: 'orders', url: 'https://hooks.example.com/in', event_types: ['job.completed', 'batch.completed'] };

let app: TestApp;
const receivers: WebhookReceiver[] = [];
beforeAll(async () => {
  app = await startTestApp({ FANA_ALLOW_PRIVATE_NETWORK: 'true' });
});
afterAll(async () => {
  await app.stop();
  await Promise.all(receivers.map((one) => one.stop()));
});
beforeEach(async () => {
  await app.deps.redis.flushall();
  app.deps.endpoints.forget('default');
});

const receiver = async (respond?: ReceiverOptions['respond']): Promise<WebhookReceiver> => {
  const started = await startReceiver(respond ? { respond } : {});
  receivers.push(started);
  return started;
};
const made = async (body: Record<string, unknown> = {}, key?: string): Promise<ApiReply['json']> => {
  const { status, json } = await app.call(PATH, { body: { ...BODY, ...body }, ...(key !== undefined && { key }) });
  expect(status).toBe(200);
  return json;
};
const expectError = ({ status, json }: ApiReply, expected: { status: number; code: string; param?: string | null }): void => {
  expect({ status, code: json.error.code, param: json.error.param }).toEqual({ param: null, ...expected });
};

describe.each([
  { method: 'POST', path: PATH, body: BODY },
  { method: 'GET', path: PATH },
  { method: 'GET', path: `${PATH}/whe_x` },
  { method: 'POST', path: `${PATH}/whe_x`, body: {} },
  { method: 'DELETE', path: `${PATH}/whe_x` },
  { method: 'POST', path: `${PATH}/whe_x/rotate_secret`, body: {} },
  { method: 'POST', path: `${PATH}/whe_x/test`, body: { event_type: 'job.completed' } },
  { method: 'GET', path: `${PATH}/default/deliveries` },
  { method: 'GET', path: '/v1/webhook_event_types' },
  { method: 'GET', path: '/v1/webhook_deliveries/whd_x' },
  { method: 'POST', path: '/v1/webhook_deliveries/whd_x/redeliver', body: {} },
])('the route', (route) => testRoute(() => app, { ...route, scope: 'webhooks' }));

describe('the event types', () => {
  test.each(['/v1', '/openai/v1'])('are those of the contract, under %s', async (prefix) => {
    expect((await app.call(`${prefix}/webhook_event_types`)).json).toEqual({ object: 'list', data: EVENT_TYPES });
  });
});

describe('a new endpoint', () => {
  test('has the shape of OpenAI and shows its secret this once', async () => {
    const from = Math.floor(Date.now() / 1000);
    const { signing_secret: secret, ...object } = await made();
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(object).toEqual({
      id: expect.stringMatching(/^whe_[0-9A-Za-z]{22}$/),
      object: 'webhook_endpoint',
      ...BODY,
      created_at: expect.any(Number),
      updated_at: object.created_at,
      signing_secret_hint: `whsec_...${secret.slice(-5, -1)}`,
      old_signing_secret_expires_at: null,
      enabled: true,
      disabled_reason: null,
      disabled_at: null,
      failing_since: null,
    });
    expect(object.created_at).toBeGreaterThanOrEqual(from);
    for (const path of [`${PATH}/${object.id}`, `/openai${PATH}/${object.id}`]) expect((await app.call(path)).json).toEqual(object);
    expect((await app.call(PATH)).json.data).toEqual([object]);
  });

  test('has a secret of its own, and none is in Redis in clear', async () => {
    const secrets = [await made(), await made()].map(({ signing_secret }) => signing_secret);
    expect(new Set(secrets).size).toBe(2);
    for (const key of await app.deps.redis.keys('fana:webhook-endpoint:*')) {
      const record = JSON.stringify(await app.deps.redis.hgetall(key));
      for (const secret of secrets) expect(record).not.toContain(secret.slice(6, 30));
    }
  });

  test.each([
    [{ name: undefined }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 5 }, 'name'],
    [{ name: 'x'.repeat(201) }, 'name'],
    [{ url: undefined }, 'url'],
    [{ url: '' }, 'url'],
    [{ url: 7 }, 'url'],
    [{ event_types: undefined }, 'event_types'],
    [{ event_types: [] }, 'event_types'],
    [{ event_types: 'job.completed' }, 'event_types'],
    [{ event_types: ['job.completed', 'video.completed'] }, 'event_types.1'],
    [{ event_types: ['job.completed', 'job.completed'] }, 'event_types'],
    [{ event_types: [null] }, 'event_types.0'],
    [{ colour: 'red' }, 'colour'],
    [{ id: 'whe_mine' }, 'id'],
    [{ enabled: 'yes' }, 'enabled'],
  ])('is refused with %j', async (change, param) => {
    expectError(await app.call(PATH, { body: { ...BODY, ...change } }), { status: 400, code: 'invalid_request', param });
    expect((await app.call(PATH)).json.data).toEqual([]);
  });

  test.each(['ftp://example.com/', 'not a url', 'http://user:secret@example.com/', 'http://169.254.169.254/', 'https://example.com:25/'])(
    'may not lead to %s',
    async (url) => expectError(await app.call(PATH, { body: { ...BODY, url } }), { status: 400, code: 'invalid_url', param: 'url' }),
  );

  test('is refused once there are 100, and room is made by deleting one', async () => {
    const all = await Promise.all(Array.from({ length: 100 }, () => made()));
    const refused = await app.call(PATH, { body: BODY });
    expectError(refused, { status: 400, code: 'invalid_request' });
    expect(refused.json.error.message).toMatch(/100 webhook endpoints/);
    await app.call(`${PATH}/${all[7].id}`, { method: 'DELETE' });
    await made();
  });

  describe('with an Idempotency-Key', () => {
    const create = (idempotencyKey: string, body: unknown = BODY) => app.call(PATH, { body, headers: { 'idempotency-key': idempotencyKey } });

    test('is made once, and its secret is not lost with the first answer', async () => {
      const first = await create('a');
      const again = await create('"a"');
      expect(again.headers.get('idempotent-replayed')).toBe('true');
      expect(again.json).toEqual(first.json);
      expect((await app.call(PATH)).json.data).toHaveLength(1);
    });

    test('answers 422 to another body and 404 once it is deleted', async () => {
      const { json } = await create('b');
      expectError(await create('b', { ...BODY, name: 'other' }), { status: 422, code: 'idempotency_key_reused', param: 'Idempotency-Key' });
      await app.call(`${PATH}/${json.id}`, { method: 'DELETE' });
      expectError(await create('b'), { status: 404, code: 'not_found' });
    });

    test('is not used up by a body that is refused', async () => {
      expect((await create('c', { ...BODY, url: 'ftp://example.com/' })).status).toBe(400);
      expect((await create('c')).status).toBe(200);
    });
  });
});

describe('the list', () => {
  test('is newest first, in pages that end', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 5; at++) ids.unshift((await made({ name: `n${at}` })).id);
    const first = (await app.call(`${PATH}?limit=2`)).json;
    expect(first).toMatchObject({ object: 'list', first_id: ids[0], last_id: ids[1], has_more: true });
    const second = (await app.call(`${PATH}?limit=2&after=${first.last_id}`)).json;
    const third = (await app.call(`${PATH}?limit=2&after=${second.last_id}`)).json;
    expect([first, second, third].flatMap(({ data }) => data.map(({ id }: { id: string }) => id))).toEqual(ids);
    expect([second.has_more, third.has_more]).toEqual([true, false]);
    // What the SDK sends for null.
    expect((await app.call(`${PATH}?after=`)).json.data).toHaveLength(5);
  });

  test.each([
    ['after=whe_nothing', 'after'],
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['order=asc', 'order'],
  ])('refuses ?%s', async (query, param) => {
    expectError(await app.call(`${PATH}?${query}`), { status: 400, code: 'invalid_request', param });
  });
});

describe('an update', () => {
  test.each(['POST', 'PATCH'])('by %s changes what it names', async (method) => {
    const { signing_secret: _, ...before } = await made();
    const named = { name: 'renamed', event_types: ['job.failed'] };
    const { status, json } = await app.call(`${PATH}/${before.id}`, { method, body: named });
    expect(status).toBe(200);
    expect(json).toEqual({ ...before, ...named, updated_at: expect.any(Number) });
    expect((await app.call(`${PATH}/${before.id}`, { method, body: { url: 'https://other.example.com/' } })).json.url).toBe('https://other.example.com/');
  });

  test('that changes nothing leaves the time of the last change', async () => {
    const { id } = await made();
    const updatedMs = async (): Promise<number> => Number(await app.deps.redis.hget(`fana:webhook-endpoint:${id}`, 'updated_ms'));
    const before = await updatedMs();
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const body of [{}, BODY, { enabled: true }]) await app.call(`${PATH}/${id}`, { method: 'PATCH', body });
    expect((await app.call(`${PATH}/${id}`, { method: 'POST' })).status).toBe(200);
    expect(await updatedMs()).toBe(before);
    await app.call(`${PATH}/${id}`, { method: 'PATCH', body: { name: 'new' } });
    expect(await updatedMs()).toBeGreaterThan(before);
  });

  test('disables and enables, and enabling forgets the failures', async () => {
    const { id } = await made();
    const off = (await app.call(`${PATH}/${id}`, { body: { enabled: false } })).json;
    expect(off).toMatchObject({ enabled: false, disabled_reason: 'requested', disabled_at: expect.any(Number) });
    await app.deps.redis.hset(`fana:webhook-endpoint:${id}`, 'failing_since_ms', 1000);
    expect((await app.call(`${PATH}/${id}`, { body: { enabled: false } })).json).toMatchObject({ disabled_at: off.disabled_at, failing_since: 1 });
    const on = (await app.call(`${PATH}/${id}`, { body: { enabled: true } })).json;
    expect(on).toMatchObject({ enabled: true, disabled_reason: null, disabled_at: null, failing_since: null });
  });

  test('of the address forgets the failures of the one before', async () => {
    const { id } = await made();
    await app.deps.redis.hset(`fana:webhook-endpoint:${id}`, 'failing_since_ms', 1000);
    expect((await app.call(`${PATH}/${id}`, { body: { url: BODY.url, name: 'x' } })).json.failing_since).toBe(1);
    expect((await app.call(`${PATH}/${id}`, { body: { url: 'https://new.example.com/' } })).json.failing_since).toBeNull();
  });

  test.each([
    [{ name: '' }, 'invalid_request', 'name'],
    [{ event_types: [] }, 'invalid_request', 'event_types'],
    [{ event_types: ['batch.done'] }, 'invalid_request', 'event_types.0'],
    [{ enabled: 1 }, 'invalid_request', 'enabled'],
    [{ signing_secret: 'whsec_x' }, 'invalid_request', 'signing_secret'],
    [{ url: 'http://169.254.169.254/' }, 'invalid_url', 'url'],
  ])('is refused with %j and changes nothing', async (body, code, param) => {
    const { signing_secret: _, ...before } = await made();
    expectError(await app.call(`${PATH}/${before.id}`, { body }), { status: 400, code, param });
    expect((await app.call(`${PATH}/${before.id}`)).json).toEqual(before);
  });
});

test('a deleted endpoint is unknown from then on', async () => {
  const { id } = await made();
  const { status, json } = await app.call(`${PATH}/${id}`, { method: 'DELETE' });
  expect({ status, json }).toEqual({ status: 200, json: { id, object: 'webhook_endpoint.deleted', deleted: true } });
  for (const method of ['GET', 'DELETE']) expectError(await app.call(`${PATH}/${id}`, { method }), { status: 404, code: 'not_found' });
  expect((await app.call(PATH)).json.data).toEqual([]);
  expect(await app.deps.redis.keys('fana:webhook-endpoint:*')).toEqual([]);
});

describe('a rotation', () => {
  test('shows the new secret; the old one is over at once unless it is to be kept for 24 h', async () => {
    const { id, signing_secret: first } = await made();
    const path = `${PATH}/${id}/rotate_secret`;
    const nowSeconds = Math.floor(Date.now() / 1000);
    const kept = (await app.call(path, { body: { keep_old_secret_active_for_24_hours: true } })).json;
    expect(kept.signing_secret).toMatch(/^whsec_/);
    expect(kept.signing_secret).not.toBe(first);
    expect(kept.signing_secret_hint).toBe(`whsec_...${kept.signing_secret.slice(-5, -1)}`);
    expect(kept.old_signing_secret_expires_at).toBeGreaterThanOrEqual(nowSeconds + 24 * 3600);
    expect(kept.old_signing_secret_expires_at).toBeLessThan(nowSeconds + 24 * 3600 + 60);
    for (const call of [{ body: {} }, { body: { keep_old_secret_active_for_24_hours: false } }, { method: 'POST' }]) {
      expect((await app.call(path, call)).json.old_signing_secret_expires_at).toBeNull();
    }
    expect((await app.call(`${PATH}/${id}`)).json).not.toHaveProperty('signing_secret');
  });

  test.each([
    [{ keep_old_secret_active_for_24_hours: 'yes' }, 'keep_old_secret_active_for_24_hours'],
    [{ keep: true }, 'keep'],
  ])('is refused with %j', async (body, param) => {
    const { id } = await made();
    expectError(await app.call(`${PATH}/${id}/rotate_secret`, { body }), { status: 400, code: 'invalid_request', param });
  });
});

describe('a test', () => {
  const tried = (id: string, eventType: unknown = 'job.completed') => app.call(`${PATH}/${id}/test`, { body: { event_type: eventType } });

  test.each(EVENT_TYPES)('sends one signed sample of %s and says how it was answered', async (type) => {
    const to = await receiver(() => 204);
    const { id, signing_secret: secret } = await made({ url: to.url, event_types: ['batch.failed'] });
    expect(await tried(id, type)).toMatchObject({
      status: 200,
      json: { object: 'webhook_endpoint.test', status_code: 204, success: true, event_type: type, webhook_endpoint_id: id },
    });
    expect(to.requests).toHaveLength(1);
    const { headers = {}, body = '' } = to.requests[0] ?? {};
    const [object, status] = type.split('.');
    const event = JSON.parse(body);
    expect(event).toMatchObject({ id: headers['webhook-id'], object: 'event', type, data: { object, status, metadata: { test: 'true' } } });
    expect(headers).toMatchObject(signatureHeaders(event.id, Number(headers['webhook-timestamp']), body, [secret]));
  });

  test.each([
    ['500', 500, 500],
    ['410', 410, 410],
    ['a redirect', { status: 302, headers: { location: '/elsewhere' } }, 302],
  ] as const)('says that the receiver answered %s, and does no more about it', async (_, answer, status) => {
    const to = await receiver(() => answer);
    const { id } = await made({ url: to.url });
    expect((await tried(id)).json).toMatchObject({ status_code: status, success: true });
    expect(to.requests).toHaveLength(1);
    expect((await app.call(`${PATH}/${id}`)).json).toMatchObject({ enabled: true, failing_since: null });
    expect((await app.call(`${PATH}/${id}/deliveries`)).json.data).toEqual([]);
  });

  test('of a receiver that does not answer is an error that says why', async () => {
    const to = await receiver(() => 'hangUp');
    const { id } = await made({ url: to.url });
    expectError(await tried(id), { status: 400, code: 'fetch_failed' });
    await to.stop();
    const refused = await tried(id);
    expectError(refused, { status: 400, code: 'fetch_failed' });
    expect(refused.json.error.message).toBe('The connection was refused.');
  });

  test('of a disabled endpoint is possible', async () => {
    const to = await receiver();
    const { id } = await made({ url: to.url });
    await app.call(`${PATH}/${id}`, { body: { enabled: false } });
    expect((await tried(id)).json.status_code).toBe(200);
  });

  test.each([['video.completed'], [''], [5], [undefined]])('of the event type %j is refused', async (type) => {
    const { id } = await made();
    const reply = await app.call(`${PATH}/${id}/test`, { body: { event_type: type } });
    expectError(reply, { status: 400, code: 'invalid_request', param: 'event_type' });
  });
});

test('without FANA_ALLOW_PRIVATE_NETWORK no endpoint may lead inside, and a test of an older one connects to nothing', async () => {
  const closed = await startTestApp();
  const to = await receiver();
  try {
    expectError(await closed.call(PATH, { body: { ...BODY, url: to.url } }), { status: 400, code: 'invalid_url', param: 'url' });
    const { json } = await closed.call(PATH, { body: BODY });
    await closed.deps.redis.hset(`fana:webhook-endpoint:${json.id}`, 'url', to.url);
    expectError(await closed.call(`${PATH}/${json.id}/test`, { body: { event_type: 'job.completed' } }), { status: 400, code: 'invalid_url', param: 'url' });
    expect(to.requests).toEqual([]);
  } finally {
    await closed.stop();
  }
});

describe('the built-in endpoint', () => {
  test.each([
    ['GET', ''],
    ['POST', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['POST', '/rotate_secret'],
    ['POST', '/test'],
  ])('says on %s %s what can be done with it', async (method, path) => {
    const reply = await app.call(`${PATH}/default${path}`, { method, ...(method !== 'GET' && method !== 'DELETE' && { body: {} }) });
    expectError(reply, { status: 400, code: 'invalid_request', param: 'webhook_endpoint_id' });
    expect(reply.json.error.message).toMatch(/built in/);
  });
});

test.each(['nonsense', '..%2f..', '%00', 'job_0123456789abcdefghijkl', 'whe_0123456789abcdefghijkl', '__proto__'])('the id %s is unknown', async (id) => {
  for (const [method, path, body] of [
    ['GET', ''],
    ['POST', '', {}],
    ['DELETE', ''],
    ['POST', '/rotate_secret', {}],
    ['POST', '/test', { event_type: 'job.completed' }],
    ['GET', '/deliveries'],
  ] as const) {
    expectError(await app.call(`${PATH}/${id}${path}`, { method, ...(body && { body }) }), { status: 404, code: 'not_found' });
  }
  expectError(await app.call(`/v1/webhook_deliveries/${id}`), { status: 404, code: 'not_found' });
  expectError(await app.call(`/v1/webhook_deliveries/${id}/redeliver`, { method: 'POST' }), { status: 404, code: 'not_found' });
});

test.each([
  ['PUT', '', 'HEAD, GET, POST'],
  ['PUT', '/whe_x', 'HEAD, GET, POST, PATCH, DELETE'],
  ['GET', '/whe_x/test', 'POST'],
  ['GET', '/whe_x/rotate_secret', 'POST'],
  ['POST', '/whe_x/deliveries', 'HEAD, GET'],
])('%s %s answers 405', async (method, path, allow) => {
  const { status, headers } = await app.call(`${PATH}${path}`, { method });
  expect([status, headers.get('allow')]).toEqual([405, allow]);
});

describe('deliveries', () => {
  /** A job that has been cancelled, which is told to its own webhook and to every endpoint that asked for it. */
  const ended = async (tenant = 'default'): Promise<JobRecord> => {
    const body = { type: 'chat', input: 'hi', webhook: { url: 'https://own.example.com/' } };
    const { job } = await submitJob(app.deps, app.deps.acceptor, { tenant, keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: newId('req') });
    await endJob(app.deps, job, { status: 'cancelled', lease: '' });
    return job;
  };
  const attempted = async (id: string, status: number): Promise<void> => {
    const delivery = await readDelivery(app.deps.redis, id);
    if (!delivery) throw new Error('no delivery');
    const attempt = { number: 1, at: 1_767_225_600.5, status, error: null, durationMs: 12 };
    const after =
      status === 200
        ? ({ answer: 'taken', status: 'delivered' } as const)
        : ({ answer: 'failed', status: 'pending', nextAttemptMs: 1_767_225_605_500 } as const);
    await recordDelivery(app.deps.redis, delivery, attempt, { ...after, url: delivery.spec.url, nowMs: Date.now() });
  };
  const listed = async (id: string, query = ''): Promise<ApiReply['json']> => (await app.call(`${PATH}/${id}/deliveries${query}`)).json;

  test('are listed under their endpoint, the built-in one too, with their attempts', async () => {
    const { id } = await made({ event_types: ['job.cancelled'] });
    const deaf = await made({ event_types: ['job.completed'] });
    const job = await ended();
    const [delivery] = (await listed(id)).data;
    expect(delivery).toEqual({
      id: expect.stringMatching(/^whd_/),
      object: 'webhook_delivery',
      webhook_endpoint_id: id,
      event_id: expect.stringMatching(/^evt_/),
      event_type: 'job.cancelled',
      subject_id: job.id,
      url: BODY.url,
      status: 'pending',
      failure_reason: null,
      attempts: [],
      next_attempt_at: expect.any(Number),
      redelivery_of: null,
      created_at: expect.any(Number),
    });
    const own = (await listed('default')).data;
    expect(own).toMatchObject([{ webhook_endpoint_id: 'default', event_id: delivery.event_id, url: 'https://own.example.com/' }]);
    expect((await listed(deaf.id)).data).toEqual([]);
    await attempted(delivery.id, 503);
    const attempt = { number: 1, attempted_at: 1_767_225_600.5, status_code: 503, error: null, duration_ms: 12 };
    expect((await listed(id)).data).toMatchObject([{ status: 'pending', attempts: [attempt], next_attempt_at: 1_767_225_606 }]);
    expect((await app.call(`/v1/webhook_deliveries/${delivery.id}`)).json).toEqual((await listed(id)).data[0]);
    await attempted(own[0].id, 200);
    expect((await listed('default')).data).toMatchObject([{ status: 'delivered', next_attempt_at: null }]);
  });

  test('come newest first, in pages, all or of one status, without those whose job is gone', async () => {
    const { id } = await made({ event_types: ['job.cancelled'] });
    const jobs: string[] = [];
    for (let at = 0; at < 7; at++) {
      jobs.unshift((await ended()).id);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const all = (await listed(id)).data;
    expect(all.map(({ subject_id }: { subject_id: string }) => subject_id)).toEqual(jobs);
    for (const at of [1, 3, 5]) await attempted(all[at].id, 200);
    await app.deps.redis.del(`fana:delivery:${all[2].id}`);
    const pages: string[][] = [];
    for (let after = ''; ; ) {
      const page = await listed(id, `?status=delivered&limit=2${after}`);
      pages.push(page.data.map((one: { id: string }) => one.id));
      if (!page.has_more) break;
      after = `&after=${page.last_id}`;
    }
    expect(pages).toEqual([[all[1].id, all[3].id], [all[5].id]]);
    const first = await listed(id, '?limit=2');
    expect(first).toMatchObject({ first_id: all[0].id, last_id: all[1].id, has_more: true });
    const rest = await listed(id, `?limit=4&after=${first.last_id}`);
    expect(rest.data.map((one: { id: string }) => one.id)).toEqual([all[3].id, all[4].id, all[5].id, all[6].id]);
    expect(rest.has_more).toBe(false);
    expect((await listed(id, '?status=failed')).data).toEqual([]);
  });

  test.each([
    ['status=lost', 'status'],
    ['after=whd_x', 'after'],
    ['limit=0', 'limit'],
    ['type=x', 'type'],
  ])('cannot be asked for with ?%s', async (query, param) => {
    expectError(await app.call(`${PATH}/default/deliveries?${query}`), { status: 400, code: 'invalid_request', param });
  });

  test('sent again are new ones of the same event, linked and due at once', async () => {
    const { id } = await made({ event_types: ['job.cancelled'] });
    const job = await ended();
    const [first] = (await listed(id)).data;
    await attempted(first.id, 200);
    await app.call(`${PATH}/${id}`, { body: { url: 'https://moved.example.com/' } });
    const { status, json, headers } = await app.call(`/v1/webhook_deliveries/${first.id}/redeliver`, { method: 'POST' });
    expect(status).toBe(202);
    expect(headers.get('location')).toBe(`/v1/webhook_deliveries/${json.id}`);
    expect(json).toMatchObject({ event_id: first.event_id, event_type: first.event_type, redelivery_of: first.id, subject_id: job.id });
    expect(json).toMatchObject({ status: 'pending', attempts: [], url: 'https://moved.example.com/' });
    expect((await listed(id)).data.map((one: { id: string }) => one.id).sort()).toEqual([json.id, first.id].sort());
    const [again, before] = await Promise.all([json.id, first.id].map((one: string) => readDelivery(app.deps.redis, one)));
    expect(again?.spec.body).toBe(before?.spec.body);
    expect(await app.deps.redis.hget(jobKey(job.id), 'earlier_deliveries')).toBe(json.id);
    expect(await app.deps.redis.exists(`fana:bull:webhook:${json.id}-1`)).toBe(1);
  });

  test('are sent again once for an Idempotency-Key', async () => {
    await ended();
    const [first] = (await listed('default')).data;
    const again = () => app.call(`/v1/webhook_deliveries/${first.id}/redeliver`, { method: 'POST', headers: { 'idempotency-key': 'again' } });
    const [one, two] = [await again(), await again()];
    expect(two.headers.get('idempotent-replayed')).toBe('true');
    expect([two.status, two.json.id]).toEqual([202, one.json.id]);
    expect((await listed('default')).data).toHaveLength(2);
  });

  test('of a disabled endpoint cannot be sent again, nor those of a deleted one', async () => {
    const { id } = await made({ event_types: ['job.cancelled'] });
    await ended();
    const [delivery] = (await listed(id)).data;
    const path = `/v1/webhook_deliveries/${delivery.id}`;
    await app.call(`${PATH}/${id}`, { body: { enabled: false } });
    expect((await app.call(path)).json).toMatchObject({ status: 'failed', failure_reason: 'endpoint_disabled', next_attempt_at: null });
    expectError(await app.call(`${path}/redeliver`, { method: 'POST' }), { status: 409, code: 'endpoint_disabled' });
    await app.call(`${PATH}/${id}`, { method: 'DELETE' });
    expectError(await app.call(`${path}/redeliver`, { method: 'POST' }), { status: 404, code: 'not_found' });
  });

  test('that are pending are given up when their endpoint is deleted, and their job may expire', async () => {
    const { id } = await made({ event_types: ['job.cancelled'] });
    const job = await ended();
    const [delivery] = (await listed(id)).data;
    await attempted((await listed('default')).data[0].id, 200);
    expect(await app.deps.redis.zscore('fana:ended', job.id)).toBeNull();
    await app.call(`${PATH}/${id}`, { method: 'DELETE' });
    expect((await app.call(`/v1/webhook_deliveries/${delivery.id}`)).json).toMatchObject({ status: 'failed', failure_reason: 'endpoint_deleted' });
    expect(await app.deps.redis.zscore('fana:ended', job.id)).not.toBeNull();
    await ended();
    expect(await app.deps.redis.zcard(`fana:tenant:default:deliveries:${id}`)).toBe(1);
  });

  test('and endpoints of another tenant do not exist', async () => {
    const { key } = await app.newKey({ tenant: 'north' });
    const { id } = await made({ event_types: ['job.cancelled'] });
    const theirs = await made({}, key);
    await ended();
    const [delivery] = (await listed(id)).data;
    for (const [method, path, body] of [
      ['GET', `${PATH}/${id}`],
      ['POST', `${PATH}/${id}`, { name: 'mine' }],
      ['DELETE', `${PATH}/${id}`],
      ['POST', `${PATH}/${id}/rotate_secret`, {}],
      ['POST', `${PATH}/${id}/test`, { event_type: 'job.completed' }],
      ['GET', `${PATH}/${id}/deliveries`],
      ['GET', `/v1/webhook_deliveries/${delivery.id}`],
      ['POST', `/v1/webhook_deliveries/${delivery.id}/redeliver`],
    ] as const) {
      expectError(await app.call(path, { method, key, ...(body && { body }) }), { status: 404, code: 'not_found' });
    }
    expect((await app.call(PATH, { key })).json.data.map((one: { id: string }) => one.id)).toEqual([theirs.id]);
    expect((await app.call(`${PATH}/default/deliveries`, { key })).json.data).toEqual([]);
    expectError(await app.call(`${PATH}?after=${id}`, { key }), { status: 400, code: 'invalid_request', param: 'after' });
  });
});

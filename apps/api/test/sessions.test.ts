import { newId } from '@fana/core/ids.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { claimJob } from '@fana/core/jobs/store.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiReply, startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

const create = async (body: object = {}): Promise<string> => (await app.call('/v1/sessions', { body })).json.id;
const submit = (sessionId: string, body: object = {}): Promise<ApiReply> =>
  app.call('/v1/jobs', { body: { type: 'chat', input: 'hello', session_id: sessionId, ...body } });
const finish = async (id: string, text: string): Promise<void> => {
  const claim = await claimJob(app.deps.redis, id, 1, 'lease_1');
  if (claim.kind !== 'claimed') throw new Error(claim.kind);
  const output = { kind: 'text', text, finishReason: 'stop' } as const;
  await endJob(app.deps, claim.job, { status: 'completed', lease: 'lease_1', fields: { output: JSON.stringify(output) }, turn: { output } });
};
const expectError = (reply: ApiReply, status: number, code: string, param: string | null): void => {
  expect([reply.status, reply.json.error.code, reply.json.error.param]).toEqual([status, code, param]);
};

for (const [method, path, body] of [
  ['POST', '/v1/sessions', {}],
  ['GET', '/v1/sessions'],
  ['GET', '/v1/sessions/ses_0123456789abcdefghijkl'],
  ['PATCH', '/v1/sessions/ses_0123456789abcdefghijkl', {}],
  ['DELETE', '/v1/sessions/ses_0123456789abcdefghijkl'],
  ['POST', '/v1/sessions/ses_0123456789abcdefghijkl/end'],
  ['GET', '/v1/sessions/ses_0123456789abcdefghijkl/turns'],
] as const) {
  testRoute(() => app, { method, path, scope: 'sessions', ...(body && { body }) });
}

describe('a session over HTTP', () => {
  it('is made, read, changed and ended as the contract says', async () => {
    const made = await app.call('/v1/sessions', { body: { metadata: { a: 'b' }, system: 'Be brief.', language: 'pt-br' } });
    expect(made.status).toBe(200);
    expect(made.json).toEqual({
      id: expect.stringMatching(/^ses_[0-9A-Za-z]{22}$/),
      object: 'session',
      metadata: { a: 'b' },
      system: 'Be brief.',
      language: 'pt-BR',
      turn_count: 0,
      created_at: expect.any(Number),
      expires_at: made.json.created_at + 604_800,
      ended_at: null,
    });
    const path = `/v1/sessions/${made.json.id}`;
    expect((await app.call(path)).json).toEqual(made.json);
    const changed = await app.call(path, { method: 'PATCH', body: { metadata: {}, system: null, language: 'auto' } });
    expect(changed.json).toMatchObject({ metadata: {}, system: null, language: null });
    expect((await app.call(path, { method: 'PATCH', body: { system: 'x' } })).json).toMatchObject({ metadata: {}, system: 'x' });
    const ended = await app.call(`${path}/end`, { method: 'POST' });
    expect(ended.json.ended_at).toEqual(expect.any(Number));
    expect((await app.call(`${path}/end`, { method: 'POST' })).json.ended_at).toBe(ended.json.ended_at);
  });

  it('is made once for an Idempotency-Key, and without a body', async () => {
    const headers = { 'idempotency-key': 'one-session' };
    const [first, again] = [await app.call('/v1/sessions', { method: 'POST', headers }), await app.call('/v1/sessions', { method: 'POST', headers })];
    expect(again.json.id).toBe(first.json.id);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expectError(await app.call('/v1/sessions', { headers, body: { system: 'other' } }), 422, 'idempotency_key_reused', 'Idempotency-Key');
  });

  it('lists newest first, by pages', async () => {
    const { key } = await app.newKey({ tenant: 'lister' });
    const ids: string[] = [];
    for (let at = 0; at < 3; at++) {
      ids.unshift((await app.call('/v1/sessions', { key, body: {} })).json.id);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const page = await app.call('/v1/sessions?limit=2', { key });
    expect(page.json).toMatchObject({ object: 'list', first_id: ids[0], last_id: ids[1], has_more: true });
    const rest = await app.call(`/v1/sessions?limit=2&after=${ids[1]}`, { key });
    expect([rest.json.data.map(({ id }: { id: string }) => id), rest.json.has_more]).toEqual([[ids[2]], false]);
    expectError(await app.call(`/v1/sessions?after=${newId('ses')}`, { key }), 400, 'invalid_request', 'after');
  });

  it('tells its turns oldest first, each with what was said and answered', async () => {
    const session = await create();
    const jobs = [(await submit(session, { input: 'one' })).json, (await submit(session, { input: 'two' })).json];
    await finish(jobs[0].id, 'first answer');
    const { json } = await app.call(`/v1/sessions/${session}/turns`);
    expect(json.data).toEqual([
      {
        id: `turn${jobs[0].id.slice(3)}`,
        object: 'turn',
        job_id: jobs[0].id,
        input: { text: 'one', images: [] },
        output: { text: 'first answer', finish_reason: 'stop', language: null, citations: [] },
        created_at: expect.any(Number),
      },
      {
        id: `turn${jobs[1].id.slice(3)}`,
        object: 'turn',
        job_id: jobs[1].id,
        input: { text: 'two', images: [] },
        output: null,
        created_at: expect.any(Number),
      },
    ]);
    const first = await app.call(`/v1/sessions/${session}/turns?limit=1`);
    expect([first.json.data.length, first.json.has_more]).toEqual([1, true]);
    const next = await app.call(`/v1/sessions/${session}/turns?limit=1&after=${first.json.last_id}`);
    expect([next.json.data[0].job_id, next.json.has_more]).toEqual([jobs[1].id, false]);
    expectError(await app.call(`/v1/sessions/${session}/turns?after=turn_x`), 400, 'invalid_request', 'after');
    expect((await app.call(`/v1/sessions/${session}`)).json.turn_count).toBe(2);
  });

  it('is named by its jobs, which can be listed by it', async () => {
    const session = await create({ system: 'Be brief.' });
    const { json } = await submit(session);
    expect(json).toMatchObject({ session_id: session, system_prompt: { source: 'session' } });
    expect((await submit(session, { system: 'Be long.' })).json.system_prompt.source).toBe('job');
    const listed = await app.call(`/v1/jobs?session_id=${session}&limit=1`);
    expect(listed.json).toMatchObject({ data: [{ session_id: session }], has_more: true });
    expect((await app.call(`/v1/jobs?session_id=${newId('ses')}`)).json.data).toEqual([]);
  });
});

describe('errors of sessions', () => {
  it('are 400 for a malformed id, wherever it stands', async () => {
    expectError(await submit('ses_1'), 400, 'invalid_request', 'session_id');
    expectError(await app.call('/v1/jobs', { body: { input: 'x', session_id: 7 } }), 400, 'invalid_request', 'session_id');
    expectError(await app.call('/v1/jobs?session_id=nonsense'), 400, 'invalid_request', 'session_id');
    for (const path of ['/v1/sessions/ses_1', '/v1/sessions/job_0123456789abcdefghijkl', '/v1/sessions/ses_1/turns']) {
      expectError(await app.call(path), 400, 'invalid_request', 'session_id');
    }
  });

  it('are 404 for one that is not there, of another tenant, or erased: on every route of it', async () => {
    const erased = await create();
    expect((await app.call(`/v1/sessions/${erased}`, { method: 'DELETE' })).json).toEqual({ id: erased, object: 'session', deleted: true });
    const { key } = await app.newKey({ tenant: 'other' });
    for (const [id, access] of [
      [newId('ses'), {}],
      [erased, {}],
      [await create(), { key }],
    ] as const) {
      for (const [method, path, body] of [
        ['GET', ''],
        ['PATCH', '', {}],
        ['DELETE', ''],
        ['POST', '/end'],
        ['GET', '/turns'],
      ] as const) {
        expectError(await app.call(`/v1/sessions/${id}${path}`, { method, ...access, ...(body && { body }) }), 404, 'not_found', null);
      }
      expectError(await app.call('/v1/jobs', { body: { input: 'x', session_id: id }, ...access }), 404, 'not_found', 'session_id');
    }
  });

  it('are 409 session_ended for jobs of one that has ended', async () => {
    const session = await create();
    await app.call(`/v1/sessions/${session}/end`, { method: 'POST' });
    expectError(await submit(session), 409, 'session_ended', 'session_id');
  });

  it.each([
    [{ metadata: { a: 1 } }, 'metadata.a'],
    [{ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [at, ''])) }, 'metadata'],
    [{ system: 1 }, 'system'],
    [{ language: 'klingonish' }, 'language'],
    [{ language: '../etc' }, 'language'],
    [{ ttl: 5 }, 'ttl'],
  ])('name the bad field: %j', async (body, param) => {
    expectError(await app.call('/v1/sessions', { body }), 400, 'invalid_request', param);
    const session = await create();
    expectError(await app.call(`/v1/sessions/${session}`, { method: 'PATCH', body }), 400, 'invalid_request', param);
  });

  it('are 405 for other methods', async () => {
    const session = await create();
    for (const [method, path] of [
      ['DELETE', '/v1/sessions'],
      ['PUT', `/v1/sessions/${session}`],
      ['GET', `/v1/sessions/${session}/end`],
      ['POST', `/v1/sessions/${session}/turns`],
    ] as const) {
      expect((await app.call(path, { method })).status).toBe(405);
    }
  });

  it('are 400 for a language of a job that nobody knows', async () => {
    expectError(await app.call('/v1/jobs', { body: { input: 'x', language: 'xx' } }), 400, 'invalid_request', 'language');
  });
});

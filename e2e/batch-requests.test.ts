import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BatchClient, createBatchClient, pictureLine } from './support/batch-client.ts';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

let upstream: FastUpstream;
let fana: Installation;
let client: BatchClient;
let fileId: string;

beforeAll(async () => {
  upstream = await startFastUpstream();
  fana = await startInstallation({ env: upstream.env });
  client = createBatchClient(fana);
  fileId = await client.upload(`${pictureLine('a', 'a fox')}\n`);
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

/** The key of a new tenant, or of the installation's own with other scopes. */
const newKey = async (body: object): Promise<string> => {
  const response = await fana.request('/v1/admin/keys', { body });
  expect(response.status).toBe(200);
  return ((await response.json()) as { key: string }).key;
};
const good = (more: object = {}): object => ({ input_file_id: fileId, endpoint: '/v1/images/generations', completion_window: '24h', ...more });
const post = (body: unknown, headers: Record<string, string> = {}) => fana.request('/v1/batches', { body, headers });

describe('a request for a batch that is not good is a 400 that names what is wrong', () => {
  it.each([
    ['no file is named', { input_file_id: undefined }, 'input_file_id'],
    ['the file does not exist', { input_file_id: 'file_0123456789012345678901' }, 'input_file_id'],
    ['the file is no id', { input_file_id: '../../etc/passwd' }, 'input_file_id'],
    ['the file is a number', { input_file_id: 7 }, 'input_file_id'],
    ['the endpoint is none of a batch', { endpoint: '/v1/files' }, 'endpoint'],
    ['the endpoint is missing', { endpoint: undefined }, 'endpoint'],
    ['the window is another', { completion_window: '1h' }, 'completion_window'],
    ['the window is missing', { completion_window: undefined }, 'completion_window'],
    ['a field is not known', { colour: 'red' }, 'colour'],
    ['the metadata has 17 pairs', { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${n}`, 'v'])) }, 'metadata'],
    ['a key of the metadata has 65 characters', { metadata: { ['k'.repeat(65)]: 'v' } }, /^metadata/],
    ['a value of the metadata has 513 characters', { metadata: { k: 'v'.repeat(513) } }, /^metadata/],
    ['a value of the metadata is a number', { metadata: { k: 1 } }, /^metadata/],
    ['the output expires too soon', { output_expires_after: { anchor: 'created_at', seconds: 3599 } }, 'output_expires_after.seconds'],
    ['the output expires too late', { output_expires_after: { anchor: 'created_at', seconds: 2_592_001 } }, 'output_expires_after.seconds'],
    ['the output expires after something else', { output_expires_after: { anchor: 'last_used', seconds: 3600 } }, 'output_expires_after.anchor'],
    ['the cap is 0', { max_cost_usd: 0 }, 'max_cost_usd'],
    ['the cap is a text', { max_cost_usd: '1' }, 'max_cost_usd'],
    ['the webhook goes to a private address', { webhook: { url: 'http://127.0.0.1/' } }, 'webhook.url'],
  ])('%s', async (_, more, param) => {
    const response = await post(good(more));
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string; type: string } };
    expect(error).toMatchObject({ type: 'invalid_request_error', param: typeof param === 'string' ? param : expect.stringMatching(param) });
  });

  it('the file has another purpose', async () => {
    const other = await client.upload('{}', { purpose: 'user_data' });
    expect(await (await post(good({ input_file_id: other }))).json()).toMatchObject({
      error: { param: 'input_file_id', message: expect.stringContaining('purpose') },
    });
  });

  it.each(['[]', '{"input_file_id": ', '"text"', 'null', ''])('the body is %j', async (rawBody) => {
    const response = await fana.request('/v1/batches', { rawBody, method: 'POST' });
    expect(response.status).toBe(400);
  });
});

describe('a batch of another tenant', () => {
  it('does not exist: 404 for the batch, its results, its files, a cancel and a retry; it is in no list, and its file is none for a batch', async () => {
    const batch = await client.ended((await client.create([pictureLine('a', 'a hidden fox')])).id);
    const key = await newKey({ name: 'other', tenant: 'other', scopes: ['jobs', 'files'] });
    const paths: [string, string][] = [
      ['GET', `/v1/batches/${batch.id}`],
      ['GET', `/v1/batches/${batch.id}/results`],
      ['POST', `/v1/batches/${batch.id}/cancel`],
      ['POST', `/v1/batches/${batch.id}/retry_failed`],
      ['GET', `/v1/files/${batch.output_file_id}`],
      ['GET', `/v1/files/${batch.output_file_id}/content`],
      ['DELETE', `/v1/files/${batch.output_file_id}`],
    ];
    for (const [method, path] of paths) expect([path, (await fana.request(path, { method, key })).status]).toEqual([path, 404]);
    expect(await (await fana.request('/v1/batches', { key })).json()).toMatchObject({ data: [], has_more: false });
    expect((await fana.request('/v1/batches', { key, body: good() })).status).toBe(400);
    expect((await fana.request(`/v1/batches?after=${batch.id}`, { key })).status).toBe(400);
  });
});

describe('keys', () => {
  it('without the scope jobs make, read and cancel no batch; without a good key nobody does', async () => {
    const key = await newKey({ name: 'files only', tenant: 'default', scopes: ['files'] });
    const { data } = await client.openai.batches.list();
    const paths: [string, string, object | undefined][] = [
      ['POST', '/v1/batches', good()],
      ['GET', '/v1/batches', undefined],
      ['GET', `/v1/batches/${data[0]?.id}`, undefined],
      ['POST', `/v1/batches/${data[0]?.id}/cancel`, undefined],
      ['GET', `/v1/batches/${data[0]?.id}/results`, undefined],
      ['POST', `/v1/batches/${data[0]?.id}/retry_failed`, undefined],
    ];
    for (const [method, path, body] of paths) {
      expect([path, (await fana.request(path, { method, key, ...(body && { body }) })).status]).toEqual([path, 403]);
      expect([path, (await fana.request(path, { method, key: '', ...(body && { body }) })).status]).toEqual([path, 401]);
    }
  });

  it('that may use only some models fail a batch of others, with the line', async () => {
    const key = await newKey({ name: 'one model', tenant: 'narrow', scopes: ['jobs', 'files'], models: ['gpt-image-1'] });
    const narrow = createBatchClient(fana, key);
    const done = await narrow.ended((await narrow.create([pictureLine('a', 'x', { model: 'gpt-image-1' }), pictureLine('b', 'never', {})])).id);
    expect(done).toMatchObject({ status: 'failed', errors: { data: [{ line: 2, param: 'body.model' }] } });
    expect(upstream.calls.has('never')).toBe(false);
  });
});

describe('an Idempotency-Key', () => {
  it('makes one batch of two requests, and refuses another body', async () => {
    const first = await post(good({ metadata: { n: '1' } }), { 'idempotency-key': 'batch-once' });
    const made = (await first.json()) as { id: string };
    const again = await post(good({ metadata: { n: '1' } }), { 'idempotency-key': '"batch-once"' });
    expect([first.status, again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 200, 'true']);
    expect(await again.json()).toMatchObject({ id: made.id });
    const other = await post(good({ metadata: { n: '2' } }), { 'idempotency-key': 'batch-once' });
    expect(other.status).toBe(422);
    await client.ended(made.id);
  });
});

describe('a body of retry_failed', () => {
  it.each([
    ['a field', '{"max_cost_usd":1}', 'max_cost_usd'],
    ['no JSON', '{', 'body'],
  ])('is a 400 when it has %s: nothing is passed over in silence', async (_, rawBody, param) => {
    const batch = await client.ended((await client.create([pictureLine('a', 'retried')])).id);
    const response = await fana.request(`/v1/batches/${batch.id}/retry_failed`, { rawBody, method: 'POST' });
    expect([response.status, ((await response.json()) as { error: { param: string } }).error.param]).toEqual([400, param]);
  });
});

describe('the list of batches', () => {
  it('has the newest first, in pages, through the SDK', async () => {
    const key = await newKey({ name: 'list', tenant: 'lister', scopes: ['jobs', 'files'] });
    const lister = createBatchClient(fana, key);
    const made: string[] = [];
    for (let n = 0; n < 5; n++) made.push((await lister.create([pictureLine('a', `listed ${n}`)])).id);
    const seen: string[] = [];
    for await (const { id } of lister.openai.batches.list({ limit: 2 })) seen.push(id);
    expect(seen).toEqual(made.toReversed());
    const page = (await (await fana.request('/v1/batches?limit=2', { key })).json()) as Record<string, unknown>;
    expect(page).toMatchObject({ object: 'list', first_id: made[4], last_id: made[3], has_more: true });
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'after=batch_unknown'])
      expect([query, (await fana.request(`/v1/batches?${query}`)).status]).toEqual([query, 400]);
  });
});

describe('paths of batches', () => {
  it.each([
    ['GET', '/v1/batches/batch_0123456789012345678901', 404],
    ['GET', '/v1/batches/no-id', 404],
    ['DELETE', '/v1/batches', 405],
    ['DELETE', '/v1/batches/batch_0123456789012345678901', 405],
    ['GET', '/v1/batches/batch_0123456789012345678901/cancel', 405],
    ['POST', '/v1/batches/batch_0123456789012345678901/cancel', 404],
    ['POST', '/v1/batches/batch_0123456789012345678901/retry_failed', 404],
  ])('%s %s is %i', async (method, path, status) => {
    expect((await fana.request(path, { method, key: ADMIN_KEY })).status).toBe(status);
  });
});

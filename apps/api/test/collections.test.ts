import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from './test-app.ts';

let api: TestApp;
let key = '';
beforeAll(async () => {
  api = await startTestApp();
  ({ key } = await api.newKey());
});
afterAll(() => api.stop());

const make = async (body: unknown = { name: 'notes' }, headers: Record<string, string> = {}) =>
  (await api.call('/v1/collections', { key, body, headers })).json;

describe('collections', () => {
  it('are made, read, listed newest first and deleted with everything in them', async () => {
    const first = await make({ name: 'first', metadata: { a: 'b' } });
    expect(first).toMatchObject({ object: 'collection', name: 'first', metadata: { a: 'b' }, embedding_model: 'local-embedding' });
    const second = await make({ name: 'second', embedding_model: 'simulated-embedding' });
    expect((await api.call('/v1/collections?limit=1', { key })).json).toMatchObject({ data: [{ id: second.id }], has_more: true });
    expect((await api.call(`/v1/collections?limit=1&after=${second.id}`, { key })).json.data[0].id).toBe(first.id);
    const { json: document } = await api.call(`/v1/collections/${first.id}/documents`, { key, body: { text: 'x', title: 'T' } });
    expect((await api.call(`/v1/collections/${first.id}`, { key, method: 'DELETE' })).json).toEqual({ id: first.id, object: 'collection', deleted: true });
    for (const path of ['', '/documents', `/documents/${document.id}`])
      expect((await api.call(`/v1/collections/${first.id}${path}`, { key })).status).toBe(404);
    expect((await api.call(`/v1/collections/${first.id}/search`, { key, body: { query: 'x' } })).status).toBe(404);
    expect((await api.call(`/v1/collections/${first.id}`, { key, method: 'DELETE' })).status).toBe(404);
  });

  it('and their documents are made once for an Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'collection-1' };
    const { id } = await make({ name: 'once' }, headers);
    expect((await make({ name: 'once' }, headers)).id).toBe(id);
    expect((await api.call('/v1/collections', { key, body: { name: 'other' }, headers })).status).toBe(422);
    const add = () => api.call(`/v1/collections/${id}/documents`, { key, body: { text: 'The same.' }, headers: { 'idempotency-key': 'document-1' } });
    const [one, two] = [await add(), await add()];
    expect([one.status, two.status]).toEqual([202, 202]);
    expect(two.json.id).toBe(one.json.id);
    expect(two.headers.get('idempotent-replayed')).toBe('true');
    expect(one.headers.get('location')).toBe(`/v1/collections/${id}/documents/${one.json.id}`);
    expect((await api.call(`/v1/collections/${id}/documents`, { key })).json.data).toHaveLength(1);
  });

  it('need the scope documents, and are 404 for another tenant', async () => {
    const { key: without } = await api.newKey({ scopes: ['jobs'] });
    const { key: stranger } = await api.newKey({ tenant: 'other' });
    const { id } = await make();
    expect((await api.call('/v1/collections', { key: without })).status).toBe(403);
    expect((await api.call(`/v1/collections/${id}`, { key: stranger })).status).toBe(404);
    expect((await api.call('/v1/collections', { key: stranger })).json.data).toEqual([]);
  });

  it.each([
    [{}, 'name'],
    [{ name: ' ' }, 'name'],
    [{ name: 'x', colour: 'red' }, 'colour'],
    [{ name: 'x', metadata: { a: 1 } }, 'metadata.a'],
    [{ name: 'x', embedding_model: 'nobody-knows-it' }, 'embedding_model'],
    [{ name: 'x', embedding_model: 'simulated-chat' }, 'embedding_model'],
  ])('refuse %j with param %s', async (body, param) => {
    expect(await api.call('/v1/collections', { key, body })).toMatchObject({ status: 400, json: { error: { param } } });
  });
});

describe('documents', () => {
  it.each([
    [{}, 'text'],
    [{ text: '' }, 'text'],
    [{ text: 'a', url: 'https://example.com' }, 'text'],
    [{ url: 'ftp://example.com/x' }, 'url'],
    [{ url: 'http://127.0.0.1/' }, 'url'],
    [{ url: 'http://169.254.169.254/latest' }, 'url'],
    [{ file_id: 'file_0123456789ABCDEFGHIJKL' }, 'file_id'],
    [{ text: 'a', title: '' }, 'title'],
    [{ text: 'a', metadata: { n: 2 } }, 'metadata.n'],
    [{ text: 'a', format: 'docx' }, 'format'],
    [{ text: 'a', status: 'completed' }, 'status'],
  ])('refuse %j with param %s', async (body, param) => {
    const { id } = await make();
    expect(await api.call(`/v1/collections/${id}/documents`, { key, body })).toMatchObject({ status: 400, json: { error: { param } } });
  });

  it('come as a form, whose odd parts are refused', async () => {
    const { id } = await make();
    const send = async (fields: [string, string | File][]) => {
      const form = new FormData();
      for (const [name, value] of fields) form.append(name, value);
      const reply = await api.app.request(`/v1/collections/${id}/documents`, { method: 'POST', body: form, headers: { authorization: `Bearer ${key}` } });
      return { status: reply.status, json: (await reply.json()) as { title?: string; bytes?: number; error?: { param: string } } };
    };
    const file = new File(['hello'], 'a.txt');
    expect(
      await send([
        ['title', 'Greeting'],
        ['metadata', '{"lang":"en"}'],
        ['file', file],
      ]),
    ).toMatchObject({ status: 202, json: { title: 'Greeting', bytes: 5 } });
    for (const [fields, param] of [
      [[['title', 'x']], 'file'],
      [
        [
          ['file', file],
          ['file', file],
        ],
        'file',
      ],
      [
        [
          ['metadata', '{'],
          ['file', file],
        ],
        'metadata',
      ],
      [
        [
          ['colour', 'red'],
          ['file', file],
        ],
        'colour',
      ],
      [[['document', file]], 'document'],
    ] as [[string, string | File][], string][]) {
      expect(await send(fields)).toMatchObject({ status: 400, json: { error: { param } } });
    }
  });

  it('a body that says it has 300 MB is refused before it is read', async () => {
    const { id } = await make();
    const reply = await api.app.request(`/v1/collections/${id}/documents`, {
      method: 'POST',
      body: 'x',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'multipart/form-data; boundary=x', 'content-length': '300000000' },
    });
    expect(reply.status).toBe(413);
  });

  it('that nobody ingests any more say so', async () => {
    const { id } = await make();
    const { json: document } = await api.call(`/v1/collections/${id}/documents`, { key, body: { text: 'x' } });
    await api.call(`/v1/jobs/${document.job_id}/cancel`, { key, method: 'POST' });
    const { json } = await api.call(`/v1/collections/${id}/documents/${document.id}`, { key });
    expect(json.status).toBe('failed');
  });
});

describe('searches', () => {
  it.each([
    [{}, 'query'],
    [{ query: ' ' }, 'query'],
    [{ query: 'x', top_k: 0 }, 'top_k'],
    [{ query: 'x', top_k: 51 }, 'top_k'],
    [{ query: 'x', filter: { colour: 'red' } }, 'filter.colour'],
    [{ query: 'x'.repeat(8001) }, 'query'],
  ])('refuse %j with param %s', async (body, param) => {
    const { id } = await make();
    expect(await api.call(`/v1/collections/${id}/search`, { key, body })).toMatchObject({ status: 400, json: { error: { param } } });
  });

  it('of a collection that holds nothing find nothing', async () => {
    const { id } = await make({ name: 'empty', embedding_model: 'simulated-embedding' });
    expect(await api.call(`/v1/collections/${id}/search`, { key, body: { query: 'anything' } })).toMatchObject({
      status: 200,
      json: { object: 'list', data: [] },
    });
  });

  it('refuse a retrieval of nobody’s collection, and of a picture', async () => {
    const ask = (retrieval: unknown, type = 'chat') => api.call('/v1/jobs', { key, body: { type, input: 'x', retrieval } });
    expect(await ask({ collection_id: 'col_0123456789ABCDEFGHIJKL' })).toMatchObject({ status: 404, json: { error: { param: 'retrieval.collection_id' } } });
    expect(await ask({ collection_id: 7 })).toMatchObject({ status: 400, json: { error: { param: 'retrieval.collection_id' } } });
    const { id } = await make();
    expect(await ask({ collection_id: id, top_k: 99 })).toMatchObject({ status: 400, json: { error: { param: 'retrieval.top_k' } } });
    expect(await ask({ collection_id: id }, 'image')).toMatchObject({ status: 400, json: { error: { param: 'retrieval' } } });
    expect((await ask({ collection_id: id })).status).toBe(202);
  });
});

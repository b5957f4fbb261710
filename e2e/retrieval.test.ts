import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, endProcess, type Installation, startInstallation } from './support/installation.ts';

let fana: Installation;
const keys: Record<string, string> = {};

beforeAll(async () => {
  fana = await startInstallation({ env: { FANA_ALLOW_PRIVATE_NETWORK: 'true' }, workers: 1 });
  for (const tenant of ['red', 'blue']) {
    const made = await fana.request('/v1/admin/keys', { body: { name: tenant, tenant, scopes: ['documents', 'jobs', 'files'] } });
    keys[tenant] = ((await made.json()) as { key: string }).key;
  }
});
afterAll(async () => {
  await fana.stop();
});

type Document = {
  id: string;
  status: string;
  chunks: number;
  job_id: string;
  error: { code: string; message: string } | null;
  progress: { done: number; total: number } | null;
};
type Found = { document_id: string; chunk: number; title: string | null; text: string; score: number; path: string[] };

const ask = async <T>(path: string, options: Parameters<Installation['request']>[1] = {}, status = 200): Promise<T> => {
  const response = await fana.request(path, options);
  const text = await response.text();
  if (response.status !== status) throw new Error(`${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
};

const newCollection = (tenant: string, body: Record<string, unknown> = {}): Promise<{ id: string; embedding_model: string }> =>
  ask('/v1/collections', { key: keys[tenant] ?? ADMIN_KEY, body: { name: 'docs', ...body } });
const add = (tenant: string, collection: string, body: unknown, document?: string): Promise<Document> =>
  ask(`/v1/collections/${collection}/documents${document === undefined ? '' : `/${document}`}`, { key: keys[tenant] ?? '', body }, 202);
const read = (tenant: string, collection: string, document: string): Promise<Document> =>
  ask(`/v1/collections/${collection}/documents/${document}`, { key: keys[tenant] ?? '' });
const ended = async (tenant: string, collection: string, { id }: Document, timeoutMs = 60_000): Promise<Document> => {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const document = await read(tenant, collection, id);
    if (document.status === 'completed' || document.status === 'failed') return document;
    if (Date.now() > end) throw new Error(`${JSON.stringify(document)}\n${fana.workers.map(({ output }) => output()).join('\n')}`);
    await sleep(50);
  }
};
const search = async (tenant: string, collection: string, query: string, more: Record<string, unknown> = {}): Promise<Found[]> =>
  (await ask<{ data: Found[] }>(`/v1/collections/${collection}/search`, { key: keys[tenant] ?? '', body: { query, ...more } })).data;

const HANDBOOK = `# Handbook

## Holidays

Every employee has thirty days of holiday a year. Requests go to the office manager two weeks ahead. Whoever is ill on a day of holiday gets it back,
if a doctor says so on the first day. What is left at the end of the year can be taken until the end of March; after that it is lost, and nobody is
paid for it unless they leave.

## Expenses

Train tickets are paid back within ten days. Keep the receipt and send a picture of it. Flights are booked by the office, never by yourself, because
the insurance depends on it. Meals with guests are paid back if the names of the guests stand on the receipt.
`;

describe('a collection with the model in the house', () => {
  it('takes a document, tells how far it is, and finds the passage that answers', async () => {
    const { id, embedding_model: model } = await newCollection('red');
    expect(model).toBe('local-embedding');
    const accepted = await add('red', id, { text: HANDBOOK });
    expect(accepted).toMatchObject({ status: 'queued', chunks: 0, error: null });
    const document = await ended('red', id, accepted);
    expect(document).toMatchObject({ status: 'completed', title: 'Handbook', chunks: 2, progress: { done: 2, total: 2 } });
    const [best] = await search('red', id, 'how many vacation days do I get?');
    expect(best).toMatchObject({ document_id: accepted.id, title: 'Handbook', path: ['Handbook', 'Holidays'], text: expect.stringContaining('thirty days') });
    const job = await fana.request(`/v1/jobs/${accepted.job_id}`, { key: keys['red'] ?? '' });
    expect(await job.json()).toMatchObject({ type: 'ingest', status: 'completed', output: { document_id: accepted.id, chunks: 2 } });
  });

  it('an ingest cannot be submitted as a job', async () => {
    const reply = await fana.request('/v1/jobs', { body: { type: 'ingest', input: 'x' } });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({ error: { param: 'type' } });
  });

  it('a deleted document is never found again, a new version replaces the old one at once and whole', async () => {
    const { id } = await newCollection('red');
    const document = await ended('red', id, await add('red', id, { text: 'The password of the vault is heron.' }));
    expect((await search('red', id, 'password of the vault'))[0]?.text).toContain('heron');
    const replaced = await add('red', id, { text: 'The password of the vault is kingfisher.' }, document.id);
    const seen = new Set<string>();
    for (;;) {
      const texts = (await search('red', id, 'password of the vault')).map(({ text }) => text);
      expect(texts).toHaveLength(1);
      seen.add(texts[0] ?? '');
      if (texts[0]?.includes('kingfisher')) break;
    }
    expect(seen.size).toBeLessThanOrEqual(2);
    expect((await ended('red', id, replaced)).status).toBe('completed');
    await ask(`/v1/collections/${id}/documents/${document.id}`, { method: 'DELETE', key: keys['red'] ?? '' });
    for (let round = 0; round < 20; round++) expect(await search('red', id, 'password of the vault')).toEqual([]);
    const gone = await fana.request(`/v1/collections/${id}/documents/${document.id}`, { key: keys['red'] ?? '' });
    expect(gone.status).toBe(404);
  });

  it('what cannot be read fails with a reason on the document', async () => {
    const { id } = await newCollection('red');
    const form = new FormData();
    form.set('file', new File([new Uint8Array([0x50, 0x4b, 3, 4, 20, 0])], 'x.docx'));
    const reply = await fetch(`${fana.url}/v1/collections/${id}/documents`, {
      method: 'POST',
      body: form,
      headers: { authorization: `Bearer ${keys['red']}` },
    });
    expect(reply.status).toBe(202);
    const document = await ended('red', id, (await reply.json()) as Document);
    expect(document).toMatchObject({ status: 'failed', error: { code: 'document_unreadable', message: expect.stringContaining('ZIP') } });
  });
});

it('a worker that dies while it ingests is replaced, and the document is whole', async () => {
  const { id } = await newCollection('red');
  const text = Array.from(
    { length: 120 },
    (_, n) => `## Chapter ${n}\n\n${`Number ${n} tells of item ${n} and of nothing else that matters here. `.repeat(8)}`,
  ).join('\n\n');
  const accepted = await add('red', id, { title: 'Long', text });
  await expect.poll(async () => (await read('red', id, accepted.id)).progress?.done ?? 0, { timeout: 60_000 }).toBeGreaterThan(0);
  const [worker] = fana.workers.slice(-1);
  if (worker) await endProcess(worker);
  await fana.startWorker();
  const document = await ended('red', id, accepted, 150_000);
  expect(document).toMatchObject({ status: 'completed', chunks: 120 });
  expect((await search('red', id, 'chapter 77 item 77'))[0]?.path).toEqual(['Chapter 77']);
});

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, endProcess, type Installation, startInstallation } from './support/installation.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let fana: Installation;
let upstream: Upstream;
let site: Server;
let vectors: Server;
let isDown = false;
let siteUrl = '';
const keys: Record<string, string> = {};

beforeAll(async () => {
  upstream = await startUpstream(() => 'Thirty days.');
  site = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  siteUrl = `http://127.0.0.1:${(site.address() as AddressInfo).port}/osprey`;
  vectors = createServer((request, response) => void makeVectors(request, response));
  vectors.listen(0, '127.0.0.1');
  await once(vectors, 'listening');
  const openai = { OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `http://127.0.0.1:${(vectors.address() as AddressInfo).port}/v1` };
  fana = await startInstallation({ env: { ...upstream.env, ...openai, FANA_ALLOW_PRIVATE_NETWORK: 'true' }, workers: 1 });
  for (const tenant of ['red', 'blue']) {
    const made = await fana.request('/v1/admin/keys', { body: { name: tenant, tenant, scopes: ['documents', 'jobs', 'files'] } });
    keys[tenant] = ((await made.json()) as { key: string }).key;
  }
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
  site.close();
  vectors.close();
});

/** An OpenAI endpoint of vectors, which counts letters; or one that is down. */
const makeVectors = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { input, model } = JSON.parse(await text(request)) as { input: string[]; model: string };
  response.setHeader('content-type', 'application/json');
  if (isDown) {
    response.writeHead(503).end(JSON.stringify({ error: { message: 'down for maintenance', type: 'server_error' } }));
    return;
  }
  const data = input.map((of, index) => {
    const counts = new Float32Array(1536);
    for (const char of of) counts[char.charCodeAt(0) % 1536] = (counts[char.charCodeAt(0) % 1536] ?? 0) + 1;
    return { object: 'embedding', index, embedding: Buffer.from(counts.buffer).toString('base64') };
  });
  response.end(JSON.stringify({ object: 'list', model, data, usage: { prompt_tokens: input.length, total_tokens: input.length } }));
};

const PAGE = `<!doctype html><html><head><title>The osprey</title></head><body><nav>Home</nav><article><h1>The osprey</h1>
<h2>Diet</h2><p>${'The osprey lives on fish, which it takes from the surface of lakes and rivers with its feet first. '.repeat(6)}</p>
<h2>Nest</h2><p>${'It builds its nest of sticks on top of tall trees and poles, and comes back to it every spring. '.repeat(6)}</p>
</article></body></html>`;

/** A PDF of so many pages, each with its lines of text. */
const pdf = (pages: string[][]): Buffer => {
  const objects: string[] = ['<< /Type /Catalog /Pages 2 0 R >>', ''];
  objects.push('<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>');
  const kids: string[] = [];
  for (const lines of pages) {
    const stream = `BT /F1 10 Tf 50 780 Td 14 TL ${lines.map((line) => `(${line.replace(/[()\\]/g, '')}) Tj T*`).join(' ')} ET`;
    objects.push(`<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`);
    objects.push(`<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents ${objects.length} 0 R /Resources << /Font << /F1 3 0 R >> >> >>`);
    kids.push(`${objects.length} 0 R`);
  }
  objects[1] = `<< /Type /Pages /Count ${kids.length} /Kids [${kids.join(' ')}] >>`;
  let text = '%PDF-1.4\n';
  const places = objects.map((object, at) => {
    const place = text.length;
    text += `${at + 1} 0 obj\n${object}\nendobj\n`;
    return place;
  });
  const start = text.length;
  text += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.map((place) => `${String(place).padStart(10, '0')} 00000 n \n`).join('')}`;
  text += `trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF`;
  return Buffer.from(text, 'latin1');
};

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
  const body = await response.text();
  if (response.status !== status) throw new Error(`${path}: ${response.status} ${body}`);
  return JSON.parse(body) as T;
};

const newCollection = (tenant: string, body: Record<string, unknown> = {}): Promise<{ id: string; embedding_model: string }> =>
  ask('/v1/collections', { key: keys[tenant] ?? ADMIN_KEY, body: { name: 'docs', embedding_model: 'local-embedding', ...body } });
const add = (tenant: string, collection: string, body: unknown, document?: string): Promise<Document> =>
  ask(`/v1/collections/${collection}/documents${document === undefined ? '' : `/${document}`}`, { key: keys[tenant] ?? '', body }, 202);
const read = (tenant: string, collection: string, document: string): Promise<Document> =>
  ask(`/v1/collections/${collection}/documents/${document}`, { key: keys[tenant] ?? '' });
const ended = async (tenant: string, collection: string, { id }: Document, timeoutMs = 60_000): Promise<Document> => {
  const end = Date.now() + timeoutMs;
  for (;;) {
    // A busy machine may answer 503 once.
    const document = await read(tenant, collection, id).catch(() => undefined);
    if (Date.now() > end) throw new Error(`${JSON.stringify(document)}\n${fana.workers.map(({ output }) => output()).join('\n')}`);
    if (document?.status === 'completed' || document?.status === 'failed') return document;
    await sleep(50);
  }
};
const upload = async (tenant: string, collection: string, bytes: Uint8Array, name: string, type = ''): Promise<Document> => {
  const form = new FormData();
  form.set('file', new File([new Uint8Array(bytes)], name, { type }));
  const reply = await fetch(`${fana.url}/v1/collections/${collection}/documents`, {
    method: 'POST',
    body: form,
    headers: { authorization: `Bearer ${keys[tenant]}` },
  });
  if (reply.status !== 202) throw new Error(`upload: ${reply.status} ${await reply.text()}`);
  return (await reply.json()) as Document;
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

it('an API that has not searched carries neither the index nor the model', () => {
  expect(readFileSync(`/proc/${fana.api.child.pid}/maps`, 'latin1')).not.toMatch(/lancedb/);
});

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

  it.each([
    ['an archive', Buffer.from([0x50, 0x4b, 3, 4, 20, 0, 0, 0]), 'x.docx', '', /kind that is not read/],
    ['nothing', Buffer.alloc(0), 'empty.txt', 'text/plain', /nothing in it/],
    ['white space', Buffer.from(' \n\t\n'), 'blank.md', 'text/markdown', /no text/],
    ['a PDF that is none', Buffer.from('%PDF-1.7 and then nothing of the kind'), 'x.pdf', 'application/pdf', /damaged/],
  ])('%s fails with a reason on the document, and the worker goes on', async (_, bytes, name, type, reason) => {
    const { id } = await newCollection('red');
    const document = await ended('red', id, await upload('red', id, bytes, name, type));
    expect(document).toMatchObject({ status: 'failed', chunks: 0, error: { code: 'document_unreadable', message: expect.stringMatching(reason) } });
    expect(fana.workers[0]?.child.exitCode).toBeNull();
  });

  it('reads a page by its address, a PDF, a file uploaded before, and text in Latin-1 that says so', async () => {
    const { id } = await newCollection('red');
    const page = await ended('red', id, await add('red', id, { url: siteUrl }));
    expect(page).toMatchObject({ status: 'completed', title: 'The osprey' });
    expect((await search('red', id, 'what does the osprey eat?'))[0]).toMatchObject({
      document_id: page.id,
      url: siteUrl,
      text: expect.stringContaining('fish'),
    });
    const paper = await ended(
      'red',
      id,
      await upload('red', id, pdf([['The treaty was signed in Utrecht', 'by nine ministers.'], ['The second page tells of the harvest.']]), 'treaty.pdf'),
    );
    expect(paper).toMatchObject({ status: 'completed' });
    expect((await search('red', id, 'who signed the treaty of Utrecht?'))[0]?.document_id).toBe(paper.id);
    const latin = await ended(
      'red',
      id,
      await upload('red', id, Buffer.from('Die Gr\u00f6\u00dfe der M\u00f6we ist betr\u00e4chtlich.', 'latin1'), 'm.txt', 'text/plain; charset=iso-8859-1'),
    );
    expect(latin.status).toBe('completed');
    expect((await search('red', id, 'Größe der Möwe'))[0]?.text).toBe('Die Größe der Möwe ist beträchtlich.');
    const form = new FormData();
    form.set('purpose', 'user_data');
    form.set('file', new File(['The lighthouse keeper is called Ingrid.'], 'note.txt'));
    const file = await (await fetch(`${fana.url}/v1/files`, { method: 'POST', body: form, headers: { authorization: `Bearer ${keys['red']}` } })).json();
    const note = await ended('red', id, await add('red', id, { file_id: (file as { id: string }).id }));
    expect(note.status).toBe('completed');
    expect((await search('red', id, 'lighthouse keeper'))[0]?.document_id).toBe(note.id);
  });

  it('filters by document and metadata before it compares', async () => {
    const { id } = await newCollection('red');
    const [old, young] = [
      await add('red', id, { text: 'The heron stands in the water.', metadata: { year: "20'19" } }),
      await add('red', id, { text: 'The heron stands in the water too.', metadata: { year: '2024' } }),
    ];
    await ended('red', id, old);
    await ended('red', id, young);
    expect((await search('red', id, 'heron')).length).toBe(2);
    expect((await search('red', id, 'heron', { filter: { metadata: { year: "20'19" } } })).map(({ document_id }) => document_id)).toEqual([old.id]);
    expect((await search('red', id, 'heron', { filter: { document_ids: [young.id] } })).map(({ document_id }) => document_id)).toEqual([young.id]);
  });
});

describe('tenants with near-identical texts', () => {
  it('never see each other: 0 foreign chunks in 200 searches, 404 for everything of the other', async () => {
    const [red, blue] = [await newCollection('red'), await newCollection('blue')];
    const items = (tenant: string) =>
      Array.from({ length: 12 }, (_, n) => `Item ${n} of the ${n % 2 ? 'north' : 'south'} store belongs to ${tenant}.`).join('\n\n');
    const [redDocument, blueDocument] = [await add('red', red.id, { text: items('red') }), await add('blue', blue.id, { text: items('blue') })];
    await ended('red', red.id, redDocument);
    await ended('blue', blue.id, blueDocument);
    let foreign = 0;
    for (let n = 0; n < 100; n++) {
      for (const [tenant, own, other] of [
        ['red', red, 'blue'],
        ['blue', blue, 'red'],
      ] as const) {
        const found = await search(tenant, own.id, `item ${n % 12} of the store of ${n % 3 ? other : tenant}`, { top_k: 10 });
        expect(found.length).toBeGreaterThan(0);
        foreign += found.filter((match) => match.text.includes(`belongs to ${other}`)).length;
      }
    }
    expect(foreign).toBe(0);
    for (const [path, options] of [
      [`/v1/collections/${red.id}`, {}],
      [`/v1/collections/${red.id}`, { method: 'DELETE' }],
      [`/v1/collections/${red.id}/documents`, {}],
      [`/v1/collections/${red.id}/documents/${redDocument.id}`, {}],
      [`/v1/collections/${blue.id}/documents/${redDocument.id}`, {}],
      [`/v1/collections/${red.id}/documents`, { body: { text: 'x' } }],
      [`/v1/collections/${red.id}/search`, { body: { query: 'item' } }],
      ['/v1/jobs', { body: { type: 'chat', input: 'item', retrieval: { collection_id: red.id } } }],
    ] as const) {
      const reply = await fana.request(path, { ...options, key: keys['blue'] ?? '' });
      expect(reply.status, path).toBe(404);
    }
  });
});

describe('a job that answers from a collection', () => {
  it('gives the model the passages as marked material, and cites them', async () => {
    const { id } = await newCollection('red');
    const document = await ended('red', id, await add('red', id, { text: HANDBOOK }));
    const job = await ask<{ id: string }>(
      '/v1/jobs',
      { key: keys['red'] ?? '', body: { type: 'chat', input: 'How many days of holiday?', retrieval: { collection_id: id, top_k: 1 } } },
      202,
    );
    const done = await ask<{ status: string; output: { citations: unknown[] } }>(`/v1/jobs/${job.id}?wait=30`, { key: keys['red'] ?? '' });
    expect(done).toMatchObject({
      status: 'completed',
      output: { citations: [{ document_id: document.id, chunk: 0, title: 'Handbook', url: null, score: expect.any(Number) }] },
    });
    const prompt = JSON.stringify(upstream.calls().findLast(({ path }) => path.includes('chat/completions'))?.body.messages);
    expect(prompt).toMatch(/<untrusted-[0-9a-f]{24} /);
    expect(prompt).toContain('thirty days of holiday');
    expect(prompt).not.toContain('Train tickets');
  });

  it('a collection that does not exist is refused at the door, a picture needs none', async () => {
    const reply = await fana.request('/v1/jobs', { body: { type: 'chat', input: 'x', retrieval: { collection_id: 'col_0123456789ABCDEFGHIJKL' } } });
    expect(reply.status).toBe(404);
    expect(await reply.json()).toMatchObject({ error: { param: 'retrieval.collection_id' } });
    const { id } = await newCollection('red');
    const picture = await fana.request('/v1/jobs', { key: keys['red'] ?? '', body: { type: 'image', input: 'a fox', retrieval: { collection_id: id } } });
    expect(picture.status).toBe(400);
  });
});

it('by a provider: vectors by batches, each call in the ledger; while it is down a new version fails with the reason, and the old one stays found', async () => {
  const { id, embedding_model: model } = await newCollection('blue', { embedding_model: 'embedding-default' });
  expect(model).toBe('text-embedding-3-small');
  const long = Array.from(
    { length: 200 },
    (_, n) => `## Part ${n}\n\n${`Part ${n} is about the number ${n} and its neighbours, told at some length. `.repeat(6)}`,
  ).join('\n\n');
  const document = await ended('blue', id, await add('blue', id, { text: long }));
  expect(document).toMatchObject({ status: 'completed', chunks: 200, error: null });
  const job = await ask<{ attempts: { outcome: string; provider: string }[] }>(`/v1/jobs/${document.job_id}`, { key: keys['blue'] ?? '' });
  expect(job.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual(['openai completed', 'openai completed']);
  expect((await search('blue', id, 'part 77 number 77'))[0]?.path).toEqual(['Part 77']);
  isDown = true;
  try {
    const failed = await ended('blue', id, await add('blue', id, { text: 'Something new.' }, document.id), 120_000);
    expect(failed).toMatchObject({ status: 'failed', chunks: 200, error: { code: 'provider_unavailable' } });
    const reply = await fana.request(`/v1/collections/${id}/search`, { key: keys['blue'] ?? '', body: { query: 'part' } });
    expect(reply.status).toBe(502);
  } finally {
    isDown = false;
  }
  // The version before is still the one that is found.
  expect((await search('blue', id, 'part 77 number 77'))[0]?.path).toEqual(['Part 77']);
});

/** Resident bytes of the processes that read documents now. */
const childBytes = (): number =>
  Math.max(
    0,
    ...readdirSync('/proc').map((pid) => {
      try {
        if (!/^\d+$/.test(pid) || !readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('extract-child')) return 0;
        return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
      } catch {
        return 0; // It ended while we looked.
      }
    }),
  );

it('a PDF of 500 pages is ingested whole, its reader under 512 MB', async () => {
  const { id } = await newCollection('blue', { embedding_model: 'embedding-default' });
  const page = (n: number): string[] => [
    `Page ${n} of the ledger.`,
    ...Array.from({ length: 45 }, (_, line) => `Entry ${n * 100 + line} was written down by the clerk of the harbour at noon.`),
  ];
  const accepted = await upload('blue', id, pdf(Array.from({ length: 500 }, (_, n) => page(n))), 'ledger.pdf', 'application/pdf');
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, childBytes());
  }, 20);
  const document = await ended('blue', id, accepted, 170_000).finally(() => clearInterval(watch));
  console.log(`500 pages: ${document.chunks} chunks, ${Math.round(most / 1e6)} MB`);
  expect(document).toMatchObject({ status: 'completed', error: null });
  expect(document.chunks).toBeGreaterThan(500);
  expect(most).toBeGreaterThan(10_000_000);
  expect(most).toBeLessThan(512 * 1024 * 1024);
  expect((await search('blue', id, 'Entry 49944'))[0]?.text).toContain('Entry 49944');
});

it('a worker that dies while it ingests is replaced, and the document is whole', async () => {
  const { id } = await newCollection('red');
  const long = Array.from(
    { length: 60 },
    (_, n) => `## Chapter ${n}\n\n${`Number ${n} tells of item ${n} and of nothing else that matters here. `.repeat(8)}`,
  ).join('\n\n');
  const accepted = await add('red', id, { title: 'Long', text: long });
  await expect.poll(async () => (await read('red', id, accepted.id)).progress?.done ?? 0, { timeout: 60_000 }).toBeGreaterThan(0);
  const [worker] = fana.workers.slice(-1);
  if (worker) await endProcess(worker);
  await fana.startWorker();
  const document = await ended('red', id, accepted, 150_000);
  expect(document).toMatchObject({ status: 'completed', chunks: 60 });
  expect((await search('red', id, 'chapter 47 item 47'))[0]?.path).toEqual(['Chapter 47']);
});

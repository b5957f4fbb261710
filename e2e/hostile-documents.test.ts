import { readFileSync, writeFileSync } from 'node:fs';
import { request as openRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, constants } from 'node:zlib';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import PDFDocument from 'pdfkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentPdf, damaged, encodeAs, gzipBomb, pdfOf, seeded, unicodePdf, zlibBomb } from './support/hostile-files.ts';
import { ADMIN_KEY, type Installation, type Job, type Process, startInstallation } from './support/installation.ts';
import { SENTENCES } from './support/languages.ts';
import { drained, type PageServer, pour, repeated, startPageServer } from './support/page-server.ts';

const MEGABYTE = 1_048_576;
/** What sockets hold on their way. */
const IN_FLIGHT = 16 * MEGABYTE;
const TEXT = 'The keeper wrote down the weather of the day.';

let upstream: FastUpstream;
let site: PageServer;
let fana: Installation;
let collection: string;
/** Jobs that have nothing to do with it, one after another as long as the file runs: how long each took. */
const bystanders: number[] = [];
let isOver = false;
let bystanding: Promise<void>;

const bystand = async (): Promise<void> => {
  for (let at = 0; !isOver; at++) {
    const began = Date.now();
    const job = await fana.ended((await fana.submit({ type: 'chat', input: `bystander ${at}` })).id);
    expect(job).toMatchObject({ status: 'completed', output: { text: `re: bystander ${at}` } });
    bystanders.push(Date.now() - began);
    await sleep(100);
  }
};

beforeAll(async () => {
  upstream = await startFastUpstream();
  site = await startPageServer();
  fana = await startInstallation({ env: { ...upstream.env, FANA_ALLOW_PRIVATE_NETWORK: 'true', FANA_SYSTEM_PROMPT: 'x' } });
  collection = ((await (await fana.request('/v1/collections', { body: { name: 'hostile' } })).json()) as { id: string }).id;
  bystanding = bystand();
  bystanding.catch(() => undefined);
});
afterAll(async () => {
  await fana.stop();
  await site.stop();
  await upstream.stop();
});

type Document = { id: string; status: string; chunks: number; error: { code: string; message: string } | null };
type Upload = { bytes: Buffer; type: string };

const path = (more = ''): string => `/v1/collections/${collection}/documents${more}`;
const upload = async ({ bytes, type }: Upload): Promise<Document> => {
  const form = new FormData();
  form.set('file', new File([new Uint8Array(bytes)], 'document', { type }));
  const reply = await fetch(`${fana.url}${path()}`, { method: 'POST', body: form, headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  if (reply.status !== 202) throw new Error(`${reply.status} ${await reply.text()}`);
  return ingested((await reply.json()) as Document);
};
const ingestUrl = async (url: string): Promise<Document> => {
  const reply = await fana.request(path(), { body: { url } });
  expect(reply.status).toBe(202);
  return ingested((await reply.json()) as Document);
};
const ingested = async ({ id }: Document): Promise<Document> => {
  for (const end = Date.now() + 90_000; ; await sleep(50)) {
    const document = (await (await fana.request(path(`/${id}`))).json()) as Document;
    if (document.status === 'completed' || document.status === 'failed') return document;
    if (Date.now() > end) throw new Error(`it is still ${document.status}`);
  }
};
const textOf = async ({ id }: Document, query: string): Promise<string> => {
  const body = { query, filter: { document_ids: [id] } };
  const found = (await (await fana.request(`/v1/collections/${collection}/search`, { body })).json()) as { data: { text: string }[] };
  return found.data.map(({ text }) => text).join('\n');
};
/** Names these in one message; the upstream says back the prompt. */
const ask = async (...urls: string[]): Promise<Job> => fana.ended((await fana.submit({ type: 'chat', input: `read ${urls.join(' ')}` })).id);

const statusOf = ({ pid }: Process['child'], field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024;
/** How much more memory a process ever had meanwhile than at the beginning. */
const growth = async ({ child }: Process, work: () => Promise<void>): Promise<number> => {
  if (process.platform !== 'linux') {
    // Nobody else tells it: the rest of the test holds there.
    await work();
    return 0;
  }
  const before = statusOf(child, 'VmRSS');
  // Resets the peak.
  writeFileSync(`/proc/${child.pid}/clear_refs`, '5');
  await work();
  return statusOf(child, 'VmHWM') - before;
};
const worker = (): Process => fana.workers[0] as Process;

const makePdf = (text: string, options: ConstructorParameters<typeof PDFDocument>[0] = {}): Promise<Buffer> =>
  new Promise((resolve) => {
    const pdf = new PDFDocument(options);
    const chunks: Buffer[] = [];
    pdf.on('data', (chunk: Buffer) => chunks.push(chunk));
    pdf.on('end', () => resolve(Buffer.concat(chunks)));
    pdf.text(text);
    pdf.end();
  });

const noise = (): Buffer => {
  const random = seeded(7);
  return Buffer.from(Array.from({ length: 5000 }, () => Math.floor(random() * 256)));
};
const PDF = 'application/pdf';
const kids = (entries: string): Buffer => pdfOf(['<< /Type /Catalog /Pages 2 0 R >>', `<< /Type /Pages ${entries} >>`]);

describe('a document that cannot be read', () => {
  const cases: [name: string, make: () => Promise<Buffer> | Buffer, type: string, said: string][] = [
    ['a PDF with a password', () => makePdf(TEXT, { userPassword: 'x', ownerPassword: 'y' }), PDF, 'encrypted'],
    ['a PDF with a password, of today', () => makePdf(TEXT, { userPassword: 'x', pdfVersion: '1.7ext3' }), PDF, 'encrypted'],
    ['the head of a PDF and nothing behind it', () => Buffer.from('%PDF-1.7\n'), PDF, 'broken'],
    ['a PDF that is its own page', () => kids('/Kids [2 0 R] /Count 1'), PDF, 'broken'],
    ['a PDF of a billion pages that are not there', () => kids('/Kids [3 0 R] /Count 1000000000'), PDF, 'broken'],
    ['a PDF without text', () => contentPdf('0 0 m 100 100 l S'), PDF, 'empty'],
    ['an HTML page called a PDF', () => Buffer.from('<html><body>no</body></html>'), PDF, 'broken'],
    ['an empty file', () => Buffer.alloc(0), 'text/plain', 'empty'],
    ['an empty PDF', () => Buffer.alloc(0), PDF, 'empty'],
    ['an empty page', () => Buffer.from('<html><head><title></title></head><body> </body></html>'), 'text/html', 'empty'],
    ['white space', () => Buffer.from(' \n\t '.repeat(1000)), 'text/plain', 'empty'],
    ['noise called a text', () => noise(), 'text/plain', 'is_binary'],
    ['a page nested without end', () => Buffer.from('<div>'.repeat(200_000)), 'text/html', 'too_complex'],
  ];
  it.each(cases)('is told as one: %s', async (name, make, type, said) => {
    const bytes = await make();
    const url = site.put(`/unreadable-${cases.findIndex(([known]) => known === name)}`, bytes, { 'content-type': type });
    const [job, document] = await Promise.all([ask(url), upload({ bytes, type })]);
    expect(job).toMatchObject({ status: 'completed', sources: [{ url, status: said }] });
    expect(document).toMatchObject({ status: 'failed', chunks: 0, error: { code: 'document_unreadable', message: expect.stringMatching(/\w{4,}.*\.$/) } });
  });

  it('or is damaged somewhere: what is left of it, or a reason', async () => {
    const whole = await makePdf(`${TEXT} `.repeat(40), { compress: false });
    const urls = Array.from({ length: 8 }, (_, at) => site.put(`/damaged-${at}.pdf`, damaged(whole, at + 1), { 'content-type': PDF }));
    const documents: Document[] = [];
    for (let at = 0; at < 8; at += 4) {
      const [job, ...made] = await Promise.all([
        ask(...urls.slice(at, at + 4)),
        ...Array.from({ length: 2 }, (_, more) => upload({ bytes: damaged(whole, 20 + at + more), type: PDF })),
      ]);
      expect(job.status).toBe('completed');
      for (const { status } of job.sources) expect(status).toMatch(/^(?:read|truncated|broken|empty|encrypted)$/);
      documents.push(...made);
    }
    for (const { status, error, chunks } of documents) {
      if (status === 'completed') expect(chunks).toBeGreaterThan(0);
      else expect(error?.code).toBe('document_unreadable');
    }
  });
});

describe('a document of 300 MB', () => {
  const piece = Buffer.from(`${TEXT}\n`.repeat(1456));
  const pieces = Math.ceil((300 * MEGABYTE) / piece.length);

  it('that is announced is refused at its head', async () => {
    const head = { 'content-type': 'text/plain', 'content-length': String(piece.length * pieces) };
    const answer = (response: Parameters<typeof pour>[0]): Promise<void> => {
      response.writeHead(200, head);
      return pour(response, repeated(piece, pieces));
    };
    const url = site.serve('/announced', answer);
    const other = site.serve('/announced-too', answer);
    const [job, document] = await Promise.all([ask(url), ingestUrl(other)]);
    expect(job).toMatchObject({ status: 'completed', sources: [{ status: 'too_large' }] });
    expect(document).toMatchObject({ status: 'failed', error: { code: 'fetch_failed', message: expect.stringContaining('too large') } });
    for (const asked of ['/announced', '/announced-too']) expect(site.taken.get(asked)).toBeLessThan(IN_FLIGHT);
  });

  it('that is poured without end is let go of at the limit, and was never in memory as a whole', async () => {
    const answer = (response: Parameters<typeof pour>[0]): Promise<void> => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      return pour(response, repeated(piece, pieces));
    };
    const url = site.serve('/poured', answer);
    const other = site.serve('/poured-too', answer);
    const grown = await growth(worker(), async () => {
      const job = await ask(url);
      expect(job).toMatchObject({ status: 'completed', sources: [{ status: 'too_large' }] });
      const document = await ingestUrl(other);
      expect(document).toMatchObject({ status: 'failed', error: { code: 'fetch_failed', message: expect.stringContaining('too large') } });
    });
    expect(site.taken.get('/poured')).toBeLessThan(20 * MEGABYTE + IN_FLIGHT);
    expect(site.taken.get('/poured-too')).toBeLessThan(50 * MEGABYTE + IN_FLIGHT);
    expect(grown).toBeLessThan(200 * MEGABYTE);
  });

  const sendForm = async (length: number | undefined): Promise<{ status: number; sent: number }> => {
    const boundary = 'x-boundary-x';
    const head = Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="big.txt"\r\ncontent-type: text/plain\r\n\r\n`);
    const outgoing = openRequest(`${fana.url}${path()}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${ADMIN_KEY}`,
        'content-type': `multipart/form-data; boundary=${boundary}`,
        ...(length !== undefined && { 'content-length': length }),
      },
    });
    let status: number | undefined;
    const answered = new Promise<void>((resolve, reject) => {
      outgoing.once('error', reject).once('response', (response) => {
        status = response.resume().statusCode;
        resolve();
      });
    });
    // Told below.
    answered.catch(() => undefined);
    let sent = 0;
    for (const part of [head, ...repeated(piece, pieces)]) {
      if (status !== undefined || outgoing.destroyed) break;
      sent += part.length;
      if (!outgoing.write(part)) await drained(outgoing, ['drain', 'close', 'response']);
    }
    await answered;
    outgoing.destroy();
    return { status: status ?? 0, sent };
  };

  it('that is uploaded is refused: at once if it is announced, at 200 MB if not; the API never holds it', async () => {
    const grown = await growth(fana.api, async () => {
      const announced = await sendForm(300 * MEGABYTE);
      expect(announced.status).toBe(413);
      expect(announced.sent).toBeLessThan(IN_FLIGHT);
      const poured = await sendForm(undefined);
      expect(poured.status).toBe(413);
      expect(poured.sent).toBeLessThan(200 * MEGABYTE + IN_FLIGHT);
    });
    expect(grown).toBeLessThan(150 * MEGABYTE);
  });

  it('or of 110 MB, which is taken as an upload, is refused by the worker, which does not read it to say so', async () => {
    const grown = await growth(worker(), async () => {
      const document = await upload({ bytes: Buffer.alloc(110 * MEGABYTE, piece), type: 'text/plain' });
      expect(document).toMatchObject({ status: 'failed', error: { code: 'document_too_large' } });
    });
    expect(grown).toBeLessThan(80 * MEGABYTE);
  });
});

describe('a document that unpacks to gigabytes', () => {
  it('as a page: it is let go of at the limit', async () => {
    const gzip = gzipBomb(4096, '<p>bomb</p>');
    const brotli = brotliCompressSync(Buffer.alloc(256 * MEGABYTE, '<p>bomb</p>'), { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
    const html = { 'content-type': 'text/html' };
    const urls = [site.put('/gzip', gzip, { ...html, 'content-encoding': 'gzip' }), site.put('/brotli', brotli, { ...html, 'content-encoding': 'br' })];
    const grown = await growth(worker(), async () => {
      const job = await ask(...urls);
      expect(job.sources.map(({ status }) => status)).toEqual(['too_large', 'too_large']);
      const documents = await Promise.all(urls.map(ingestUrl));
      for (const document of documents) expect(document).toMatchObject({ status: 'failed', error: { code: 'fetch_failed' } });
    });
    expect(grown).toBeLessThan(400 * MEGABYTE);
  });

  it('as a PDF: the process that reads it ends, the worker does not', async () => {
    const entries = '/Filter /FlateDecode';
    const bytes = contentPdf(zlibBomb(2048, ' '), entries);
    const url = site.put('/bomb.pdf', bytes, { 'content-type': PDF });
    const before = bystanders.length;
    const grown = await growth(worker(), async () => {
      const [job, document] = await Promise.all([ask(url), upload({ bytes, type: PDF })]);
      expect(job).toMatchObject({ status: 'completed', sources: [{ status: expect.stringMatching(/^(?:too_complex|timed_out|broken|empty)$/) }] });
      expect(document).toMatchObject({ status: 'failed', error: { code: 'document_unreadable' } });
    });
    expect(grown).toBeLessThan(200 * MEGABYTE);
    expect(bystanders.length).toBeGreaterThan(before);
  });

  it('as an upload: packed files are refused, not unpacked', async () => {
    const document = await upload({ bytes: gzipBomb(1024, 'bomb '), type: 'application/gzip' });
    expect(document).toMatchObject({ status: 'failed', error: { code: 'document_unreadable' } });
  });
});

describe('a document in an encoding of its own', () => {
  const text = 'Größe, façade, naïve, Ærø: the weather of the day was fine.';
  const page = (charset: string): string =>
    `<html><head><meta charset="${charset}"><title>W</title></head><body><article><p>${text}</p></article></body></html>`;
  it.each<[string, Buffer, string]>([
    ['UTF-8 that is called Latin 1', Buffer.from(text), 'text/plain; charset=iso-8859-1'],
    ['Latin 1 that is called UTF-8', Buffer.from(text, 'latin1'), 'text/plain; charset=utf-8'],
    ['UTF-16 with its mark', Buffer.from(`\ufeff${text}`, 'utf16le'), 'text/plain'],
    ['a page that names its encoding', Buffer.from(page('windows-1252'), 'latin1'), 'text/html'],
    ['a page whose server names another than it', Buffer.from(page('utf-8')), 'text/html; charset=windows-1252'],
    ['an encoding that does not exist', Buffer.from(text), 'text/plain; charset=klingon'],
  ])('is read: %s', async (name, bytes, type) => {
    const url = site.put(`/encoded-${encodeURIComponent(name)}`, bytes, { 'content-type': type });
    const [job, document] = await Promise.all([ask(url), upload({ bytes, type })]);
    expect(job.sources).toMatchObject([{ status: 'read' }]);
    expect(job.output?.text).toContain(text);
    expect(document).toMatchObject({ status: 'completed' });
    expect(await textOf(document, 'weather')).toContain(text);
  });

  it.each(Object.entries(SENTENCES))(
    'is read in every language: %s as a page, in the encoding of before, and as a PDF',
    async (language, { text: sentence, encoding }) => {
      const old = encoding === 'utf-16le' ? Buffer.from(`\ufeff${sentence}`, 'utf16le') : encodeAs(sentence, encoding);
      const seen = language === 'ar' ? [...sentence].reverse().join('') : sentence;
      const pdf = { bytes: unicodePdf([seen]), type: PDF };
      const plain = { bytes: old, type: encoding === 'utf-16le' ? 'text/plain' : `text/plain; charset=${encoding}` };
      const html = `<!doctype html><html lang="${language}"><meta charset="utf-8"><title>${language}</title><article><p>${sentence}</p></article></html>`;
      const urls = [
        site.put(`/${language}.html`, html, { 'content-type': 'text/html' }),
        site.put(`/${language}.txt`, plain.bytes, { 'content-type': plain.type }),
      ];
      const [job, ...documents] = await Promise.all([
        ask(...urls, site.put(`/${language}.pdf`, pdf.bytes, { 'content-type': PDF })),
        upload(encoding === 'windows-1252' ? plain : pdf),
      ]);
      expect(job.sources.map(({ status }) => status)).toEqual(['read', 'read', 'read']);
      expect(job.output?.text?.split(sentence)).toHaveLength(4);
      for (const document of documents) {
        expect(document).toMatchObject({ status: 'completed', error: null });
        expect(await textOf(document, sentence)).toContain(sentence);
      }
    },
  );
});

describe('meanwhile', () => {
  it('no worker died, and jobs that had nothing to do with it went on', async () => {
    isOver = true;
    await bystanding;
    expect(fana.workers).toHaveLength(1);
    expect([worker().child.exitCode, worker().child.signalCode, fana.api.child.exitCode, fana.api.child.signalCode]).toEqual([null, null, null, null]);
    expect(bystanders.length).toBeGreaterThan(20);
    expect(Math.max(...bystanders)).toBeLessThan(15_000);
    const { data } = (await (await fana.request('/v1/jobs?status=in_progress')).json()) as { data: unknown[] };
    expect(data).toEqual([]);
  });
});

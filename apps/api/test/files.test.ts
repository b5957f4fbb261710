import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { removeBlobs } from '@fana/core/blobs/store.ts';
import { MAX_FILE_BYTES } from '@fana/core/files/file.ts';
import { newId } from '@fana/core/ids.ts';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Listening, listen } from '../src/listen.ts';
import { type ApiReply, startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

let app: TestApp;
let server: Listening;
let port = 0;
let key: string;
let client: OpenAI;
beforeAll(async () => {
  app = await startTestApp();
  server = await listen(app.app, { port: 0, host: '127.0.0.1' });
  const address = server.server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  ({ key } = await app.newKey({ tenant: 'acme' }));
  client = clientOf(key);
});
afterAll(async () => {
  server.server.closeAllConnections();
  await server.drain();
  await app.stop();
});
beforeEach(async () => {
  for await (const file of client.files.list()) await client.files.delete(file.id);
});

const clientOf = (apiKey: string, prefix = '/v1'): OpenAI => new OpenAI({ apiKey, baseURL: `http://127.0.0.1:${port}${prefix}`, maxRetries: 0 });
const LINES = '{"custom_id":"a"}\n{"custom_id":"b"}\n';
const lines = (text = LINES, name = 'lines.jsonl') => toFile(Buffer.from(text), name);
const stored = async (): Promise<string[]> =>
  (await readdir(join(app.deps.config.dataDir, 'blobs'), { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
/** Neither bytes nor anything in Redis is left of an upload. */
const expectNothingLeft = async (): Promise<void> => {
  expect(await stored()).toEqual([]);
  expect([
    ...(await app.deps.redis.keys('fana:blob*')),
    ...(await app.deps.redis.keys('fana:file*')),
    ...(await app.deps.redis.keys('fana:tenant:*:files')),
  ]).toEqual([]);
};
const expectRefusal = async (promise: Promise<unknown>, refusal: Record<string, unknown>): Promise<void> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OpenAI.APIError);
  expect(error).toMatchObject(refusal);
};

for (const [method, path] of [
  ['GET', '/v1/files'],
  ['GET', '/v1/files/file_0123456789abcdefghijkl'],
  ['DELETE', '/v1/files/file_0123456789abcdefghijkl'],
  ['GET', '/openai/v1/files/file_0123456789abcdefghijkl/content'],
] as const) {
  testRoute(() => app, { method, path, scope: 'files' });
}
testRoute(() => app, { method: 'POST', path: '/v1/files', scope: 'files', body: {} });

describe('a file, with the openai package', () => {
  test('is uploaded, found, listed, downloaded and deleted', async () => {
    const made = await client.files.create({ file: await lines(), purpose: 'batch' });
    expect(made).toEqual({
      id: expect.stringMatching(/^file_[0-9A-Za-z]{22}$/),
      object: 'file',
      bytes: LINES.length,
      created_at: expect.any(Number),
      expires_at: made.created_at + app.deps.config.blobs.ttlSeconds,
      filename: 'lines.jsonl',
      purpose: 'batch',
      status: 'processed',
    });
    expect(await client.files.retrieve(made.id)).toEqual(made);
    expect((await client.files.list()).data).toEqual([made]);
    const content = await client.files.content(made.id);
    expect(content.headers.get('content-type')).toBe('application/jsonl');
    expect(content.headers.get('content-length')).toBe(String(LINES.length));
    expect(await content.text()).toBe(LINES);
    expect(await client.files.delete(made.id)).toEqual({ id: made.id, object: 'file', deleted: true });
    await expectRefusal(client.files.retrieve(made.id), { status: 404, code: 'not_found' });
    await expectRefusal(client.files.content(made.id), { status: 404 });
    await expectRefusal(client.files.delete(made.id), { status: 404 });
    await expectNothingLeft();
  });

  test('may come as a stream, and keeps its bytes and its name', async () => {
    const bytes = randomBytes(3_000_000);
    const pieces = async function* () {
      for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
    };
    const name = "größe 文件 (1)'.bin";
    const made = await client.files.create({ file: await toFile(pieces(), name, { type: 'image/png' }), purpose: 'user_data' });
    expect(made).toMatchObject({ bytes: bytes.length, filename: name });
    const content = await client.files.content(made.id);
    expect(Buffer.from(await content.arrayBuffer()).equals(bytes)).toBe(true);
    expect(content.headers.get('content-disposition')).toBe(
      `attachment; filename="gr__e __ (1)'.bin"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%E6%96%87%E4%BB%B6%20%281%29%27.bin`,
    );
  });

  test('lives as long as expires_after says', async () => {
    const made = await client.files.create({ file: await lines(), purpose: 'batch', expires_after: { anchor: 'created_at', seconds: 3600 } });
    expect(made.expires_at).toBe(made.created_at + 3600);
  });

  test('answers under /openai/v1 too', async () => {
    const made = await clientOf(key, '/openai/v1').files.create({ file: await lines(), purpose: 'batch' });
    expect(await client.files.retrieve(made.id)).toEqual(made);
  });

  test('may be empty', async () => {
    const made = await client.files.create({ file: await lines(''), purpose: 'batch' });
    expect(made.bytes).toBe(0);
    expect(await (await client.files.content(made.id)).text()).toBe('');
  });

  test('is listed page by page, by purpose and in both orders', async () => {
    const ids: string[] = [];
    for (const purpose of ['batch', 'vision', 'batch', 'evals', 'batch'] as const) ids.push((await client.files.create({ file: await lines(), purpose })).id);
    const all: string[] = [];
    for await (const file of client.files.list({ limit: 2 })) all.push(file.id);
    expect(all.toSorted()).toEqual(ids.toSorted());
    const page = await client.files.list({ limit: 2, order: 'asc', purpose: 'batch' });
    expect([page.data.length, page.has_more]).toEqual([2, true]);
    expect((await page.getNextPage()).data).toHaveLength(1);
    expect((await client.files.list({ limit: 10_000 })).data).toHaveLength(5);
    await expectRefusal(client.files.list({ limit: 10_001 }), { status: 400, param: 'limit' });
    await expectRefusal(client.files.list({ limit: 0 }), { status: 400, param: 'limit' });
    await expectRefusal(client.files.list({ after: newId('file') }), { status: 400, param: 'after' });
    await expectRefusal(client.files.list({ purpose: 'poetry' }), { status: 400, param: 'purpose' });
  });

  test('of another tenant does not exist', async () => {
    const { id } = await client.files.create({ file: await lines(), purpose: 'batch' });
    const other = clientOf((await app.newKey({ tenant: 'other' })).key);
    for (const call of [other.files.retrieve(id), other.files.content(id), other.files.delete(id)])
      await expectRefusal(call, { status: 404, code: 'not_found' });
    expect((await other.files.list()).data).toEqual([]);
    expect(await (await client.files.content(id)).text()).toBe(LINES);
  });
});

const upload = async (form: FormData | string, headers: Record<string, string> = {}) => {
  const type = typeof form === 'string' ? { 'content-type': 'multipart/form-data; boundary=xx' } : {};
  const body = typeof form === 'string' ? form.replaceAll('\n', '\r\n') : form;
  const response = await fetch(`http://127.0.0.1:${port}/v1/files`, { method: 'POST', headers: { authorization: `Bearer ${key}`, ...type, ...headers }, body });
  return { status: response.status, headers: response.headers, json: (await response.json()) as ApiReply['json'] };
};
const formOf = (...fields: [string, string | File][]): FormData => {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  return form;
};
const file = new File([LINES], 'lines.jsonl');

describe('an upload', () => {
  test('may have its fields in any order', async () => {
    const { status, json } = await upload(
      formOf(['file', file], ['expires_after[seconds]', '7200'], ['expires_after[anchor]', 'created_at'], ['purpose', 'batch']),
    );
    expect([status, json.expires_at - json.created_at]).toEqual([200, 7200]);
  });

  test.each<[string, FormData | string, string]>([
    ['no file', formOf(['purpose', 'batch']), 'file'],
    ['no purpose', formOf(['file', file]), 'purpose'],
    ['an unknown purpose, before', formOf(['purpose', 'poetry'], ['file', file]), 'purpose'],
    ['an unknown purpose, after', formOf(['file', file], ['purpose', 'poetry']), 'purpose'],
    ['a purpose that is ours to give', formOf(['file', file], ['purpose', 'batch_output']), 'purpose'],
    ['a purpose sent twice', formOf(['purpose', 'batch'], ['file', file], ['purpose', 'batch']), 'purpose'],
    ['a purpose that is a file', formOf(['purpose', file], ['file', file]), 'purpose'],
    ['two files', formOf(['purpose', 'batch'], ['file', file], ['file', file]), 'file'],
    ['a file that is text', formOf(['purpose', 'batch'], ['file', LINES]), 'file'],
    ['a file under another name', formOf(['purpose', 'batch'], ['document', file]), 'document'],
    ['an unknown field', formOf(['file', file], ['purpose', 'batch'], ['colour', 'red']), 'colour'],
    ['a field that every object has', formOf(['file', file], ['purpose', 'batch'], ['__proto__', 'red']), '__proto__'],
    ['seconds without an anchor', formOf(['file', file], ['purpose', 'batch'], ['expires_after[seconds]', '3600']), 'expires_after[anchor]'],
    ['an anchor without seconds', formOf(['file', file], ['purpose', 'batch'], ['expires_after[anchor]', 'created_at']), 'expires_after[seconds]'],
    ['another anchor', formOf(['file', file], ['purpose', 'batch'], ['expires_after[anchor]', 'x']), 'expires_after[anchor]'],
    ['too few seconds', formOf(['file', file], ['purpose', 'batch'], ['expires_after[seconds]', '3599']), 'expires_after[seconds]'],
    ['too many seconds', formOf(['file', file], ['purpose', 'batch'], ['expires_after[seconds]', '2592001']), 'expires_after[seconds]'],
    ['no number of seconds', formOf(['file', file], ['purpose', 'batch'], ['expires_after[seconds]', '1e4']), 'expires_after[seconds]'],
    ['a field that is too long', formOf(['file', file], ['purpose', 'x'.repeat(300_000)]), 'purpose'],
    ['too many parts', formOf(['file', file], ...Array.from({ length: 200 }, (_, at): [string, string] => [`f${at}`, ''])), 'body'],
    ['no parts', '--xx--\n', 'file'],
    ['an empty body', '', 'body'],
    ['no multipart text at all', 'hello', 'body'],
    ['a part without a name', '--xx\nContent-Disposition: form-data\n\nhello\n--xx--\n', 'body'],
    ['a body cut in the file', '--xx\nContent-Disposition: form-data; name="file"; filename="a"\n\nhel', 'body'],
    ['a body cut in a field', '--xx\nContent-Disposition: form-data; name="purpose"\n\nbat', 'body'],
    ['a body cut in a header', '--xx\nContent-Dispo', 'body'],
    ['a body cut between parts', '--xx\nContent-Disposition: form-data; name="file"; filename="a"\n\nhello\n--xx\n', 'body'],
  ])('with %s is refused with its param, and leaves nothing', async (_, form, param) => {
    const { status, json } = await upload(form);
    expect([status, json.error.code, json.error.param]).toEqual([400, 'invalid_request', param]);
    await expectNothingLeft();
  });

  test.each<[string, Record<string, string>, number, string]>([
    ['JSON', { 'content-type': 'application/json' }, 415, 'unsupported_media_type'],
    ['a form of another kind', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
    ['multipart of another kind', { 'content-type': 'multipart/mixed; boundary=xx' }, 415, 'unsupported_media_type'],
    ['no boundary', { 'content-type': 'multipart/form-data' }, 400, 'invalid_request'],
    ['a compressed body', { 'content-encoding': 'gzip' }, 415, 'unsupported_media_type'],
  ])('that is %s is refused', async (_, headers, status, code) => {
    const reply = await upload('--xx--\n', headers);
    expect([reply.status, reply.json.error.code, reply.json.error.param]).toEqual([status, code, 'body']);
  });

  test('has a clean name', async () => {
    const part =
      '--xx\nContent-Disposition: form-data; name="purpose"\n\nbatch\n--xx\nContent-Disposition: form-data; name="file"; filename="../../etc/pass\x07wd"\n\nx\n--xx--\n';
    expect((await upload(part)).json.filename).toBe('passwd');
  });

  test('that is cut anywhere is refused and leaves nothing', async () => {
    const whole = [
      ['--xx', 'Content-Disposition: form-data; name="purpose"', '', 'batch'],
      ['--xx', 'Content-Disposition: form-data; name="file"; filename="a"', 'Content-Type: application/json', '', 'hello', '--x', '--xx--'],
    ];
    const bytes = Buffer.from(whole.flat().join('\r\n'));
    for (let end = 0; end < bytes.length; end++) {
      const pieces = [bytes.subarray(0, end / 2), bytes.subarray(end / 2, end)];
      const response = await app.app.request('/v1/files', {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'multipart/form-data; boundary=xx' },
        body: ReadableStream.from(pieces),
        duplex: 'half',
      } as RequestInit);
      expect([end, response.status]).toEqual([end, 400]);
    }
    await expectNothingLeft();
  });

  test('whose sender goes away leaves nothing', async () => {
    const head = `POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: multipart/form-data; boundary=xx\r\ncontent-length: 1000000\r\n\r\n`;
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`${head}--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${'x'.repeat(200_000)}`);
    await expect.poll(stored).toHaveLength(1);
    socket.destroy();
    await expect.poll(stored).toEqual([]);
    await expect.poll(() => app.deps.redis.keys('fana:blob*')).toEqual([]);
  });

  test('with an Idempotency-Key is one file: the same again is the first answer, another body is refused', async () => {
    const headers = { 'idempotency-key': 'once' };
    const form = () => formOf(['file', file], ['purpose', 'batch']);
    const first = await upload(form(), headers);
    const again = await upload(form(), headers);
    expect([again.status, again.json, again.headers.get('idempotent-replayed')]).toEqual([200, first.json, 'true']);
    for (const other of [formOf(['file', file], ['purpose', 'evals']), formOf(['file', new File(['other'], 'lines.jsonl')], ['purpose', 'batch'])]) {
      const refused = await upload(other, headers);
      expect([refused.status, refused.json.error.code]).toEqual([422, 'idempotency_key_reused']);
    }
    expect(await stored()).toHaveLength(1);
    expect((await client.files.list()).data).toHaveLength(1);
    expect((await upload(form(), { 'idempotency-key': '' })).status).toBe(400);
  });

  test('sent ten times at once with one Idempotency-Key makes one file', async () => {
    const replies = await Promise.all(Array.from({ length: 10 }, () => upload(formOf(['file', file], ['purpose', 'batch']), { 'idempotency-key': 'rush' })));
    expect(replies.filter(({ status, headers }) => status === 200 && !headers.has('idempotent-replayed'))).toHaveLength(1);
    for (const { status } of replies) expect([200, 409]).toContain(status);
    expect((await client.files.list()).data).toHaveLength(1);
    expect(await stored()).toHaveLength(1);
  });
});

describe('an upload during which the store goes away', () => {
  const slowForm = async function* (inTheMiddle: () => void) {
    yield Buffer.from('--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n');
    yield Buffer.from('--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello');
    await expect.poll(stored).toHaveLength(1);
    inTheMiddle();
    yield Buffer.from(' world\r\n--xx--\r\n');
  };
  const send = async (inTheMiddle: () => void) => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'multipart/form-data; boundary=xx' },
      body: ReadableStream.from(slowForm(inTheMiddle)),
      duplex: 'half',
    });
    return { status: response.status, json: (await response.json()) as ApiReply['json'] };
  };

  test('is answered 503 when it is Redis, and what it left has an expiry', async () => {
    const { status, json } = await send(() => app.redis.pause());
    app.redis.resume();
    expect([status, json.error.code]).toEqual([503, 'unavailable']);
    const left = await stored();
    for (const id of left) expect(await app.deps.redis.zscore('fana:blobs', id)).not.toBeNull();
    await removeBlobs(app.deps, left);
    expect((await client.files.list()).data).toEqual([]);
  });

  test('is answered 503 when it is the folder, and leaves nothing', async () => {
    const folder = join(app.deps.config.dataDir, 'blobs');
    const { status, json } = await send(() => rmSync(folder, { recursive: true }));
    expect([status, json.error.code]).toEqual([503, 'storage_error']);
    await expectNothingLeft();
  });
});

describe('an upload over 200 MB', () => {
  const over = new File([new Uint8Array(MAX_FILE_BYTES + 1)], 'big.jsonl');

  test('is answered 413 when its length says so, before it is read', async () => {
    const big = new File([new Uint8Array(201 * 1024 * 1024)], 'big.jsonl');
    await expectRefusal(client.files.create({ file: big, purpose: 'batch' }), { status: 413, code: 'payload_too_large' });
    await expectNothingLeft();
  });

  test('is answered 413 when only its bytes say so', async () => {
    const { status, json } = await upload(formOf(['purpose', 'batch'], ['file', over]));
    expect([status, json.error.code, json.error.param]).toEqual([413, 'payload_too_large', 'file']);
    await expectNothingLeft();
  });

  test.each([230, 1000])('is answered 413 when it comes in chunks without a length, %d MB of them', async (megabytes) => {
    const piece = new Uint8Array(1024 * 1024);
    const body = async function* () {
      yield Buffer.from('--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n');
      for (let at = 0; at < megabytes; at++) yield piece;
      yield Buffer.from('\r\n--xx--\r\n');
    };
    const response = await fetch(`http://127.0.0.1:${port}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'multipart/form-data; boundary=xx' },
      body: ReadableStream.from(body()),
      duplex: 'half',
    });
    const { error } = (await response.json()) as ApiReply['json'];
    expect([response.status, error.code]).toEqual([413, 'payload_too_large']);
    await expectNothingLeft();
  });

  test('is one byte more than is taken', async () => {
    const made = await client.files.create({ file: new File([new Uint8Array(MAX_FILE_BYTES)], 'full.jsonl'), purpose: 'batch' });
    expect(made.bytes).toBe(MAX_FILE_BYTES);
  });
});

describe('the content of a file', () => {
  const get = async (range: string, headers: Record<string, string> = {}) => {
    const { id } = await client.files.create({ file: await lines('0123456789', 'digits.txt'), purpose: 'batch' });
    return app.call(`/v1/files/${id}/content`, { key, headers: { range, ...headers } });
  };

  test('is only ever downloaded', async () => {
    const { id } = await client.files.create({ file: await toFile(Buffer.from('<script>'), 'a.html', { type: 'text/html' }), purpose: 'user_data' });
    const { headers } = await app.call(`/v1/files/${id}/content`, { key });
    expect(headers.get('content-disposition')).toMatch(/^attachment;/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toBe("sandbox; default-src 'none'");
  });

  test('answers HEAD with the headers alone', async () => {
    const { id } = await client.files.create({ file: await lines(), purpose: 'batch' });
    const { status, text, headers } = await app.call(`/v1/files/${id}/content`, { key, method: 'HEAD' });
    expect([status, text, headers.get('content-length')]).toEqual([200, '', String(LINES.length)]);
  });

  test.each([
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-2', '89', 'bytes 8-9/10'],
    ['bytes=8-99', '89', 'bytes 8-9/10'],
    ['bytes=-99', '0123456789', 'bytes 0-9/10'],
  ])('comes in the range %s', async (range, text, contentRange) => {
    const reply = await get(range);
    expect([reply.status, reply.text, reply.headers.get('content-range'), reply.headers.get('content-length')]).toEqual([
      206,
      text,
      contentRange,
      String(text.length),
    ]);
  });

  test.each(['bytes=10-', 'bytes=50-60', 'bytes=-0'])('has no range %s', async (range) => {
    const reply = await get(range);
    expect([reply.status, reply.json.error.code, reply.headers.get('content-range')]).toEqual([416, 'range_not_satisfiable', 'bytes */10']);
  });

  test.each(['bytes=5-2', 'bytes=a-b', 'bytes=0-1,3-4', 'lines=0-1', 'bytes=-'])('comes whole for %s, which is no range', async (range) => {
    expect(await get(range)).toMatchObject({ status: 200, text: '0123456789' });
  });

  test('comes whole when the bytes are not those of If-Range', async () => {
    expect(await get('bytes=0-3', { 'if-range': '"other"' })).toMatchObject({ status: 200, text: '0123456789' });
  });
});

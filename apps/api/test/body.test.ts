import { once } from 'node:events';
import { connect } from 'node:net';
import { STATUS } from '@fana/core/error-status.ts';
import { toAppError } from '@fana/core/errors.ts';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Environment } from '../src/environment.ts';
import { errorBody } from '../src/errors.ts';
import { type Listening, listen } from '../src/listen.ts';
import { readJson } from '../src/middleware/body.ts';

const MAX_BYTES = 100_000;
const app = new Hono<Environment>();
app.post('/', async (c) => c.json(await readJson(c, MAX_BYTES)));
app.onError((thrown, c) => {
  const error = toAppError(thrown);
  return c.json(errorBody(error, 'req_test'), STATUS[error.code]);
});

let server: Listening;
let port: number;
beforeAll(async () => {
  server = await listen(app, { port: 0, host: '127.0.0.1' });
  const address = server.server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
});
afterAll(async () => {
  server.server.closeAllConnections();
  await server.drain();
});

type Send = (body: string | Uint8Array<ArrayBuffer> | ReadableStream, headers?: Record<string, string>) => Promise<Response>;
const inProcess: Send = async (body, headers = {}) => app.request('/', { method: 'POST', body, headers, duplex: 'half' } as RequestInit);
const overHttp: Send = (body, headers = {}) => fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, headers, duplex: 'half' } as RequestInit);

/** A body without a length, as chunks. */
const chunked = (...chunks: (string | Uint8Array<ArrayBuffer>)[]): ReadableStream =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk);
      controller.close();
    },
  });

const refusal = async (reply: Response | Promise<Response>) => {
  const response = await reply;
  const { error } = (await response.json()) as { error: { code: string; param: string; message: string } };
  return { status: response.status, code: error.code, param: error.param, message: error.message };
};
const big = (length: number): string => `{"a":"${'x'.repeat(length - 8)}"}`;

describe.each([
  ['in this process', inProcess],
  ['over HTTP', overHttp],
])('a JSON body %s', (_, send) => {
  test('comes as it was sent, beside its text', async () => {
    const raw = '{ "text": "Füchse 🦊", "n": [1, 2.5, null], "n2": {} }';
    for (const body of [raw, chunked(raw.slice(0, 14), raw.slice(14)), chunked(...Array.from(Buffer.from(raw), (byte) => Uint8Array.of(byte)))]) {
      const response = await send(body);
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ raw, body: JSON.parse(raw) });
    }
  });

  test('may be exactly as long as allowed, and no byte longer, with a length or in chunks', async () => {
    const piece = 'x'.repeat(1000);
    for (const body of [big(MAX_BYTES), chunked('{"a":"', ...Array.from({ length: 99 }, () => piece), 'x'.repeat(992), '"}')])
      expect((await send(body)).status).toBe(200);
    for (const body of [
      big(MAX_BYTES + 1),
      chunked('{"a":"', ...Array.from({ length: 99 }, () => piece), 'x'.repeat(993), '"}'),
      big(11_000_000),
      chunked(big(11_000_000)),
    ]) {
      expect(await refusal(send(body))).toMatchObject({ status: 413, code: 'payload_too_large', param: 'body' });
    }
  });

  test('that is no JSON is refused without being repeated', async () => {
    for (const body of ['{"a":SECRET}', 'SECRET', '{"a":1', '{"a":1}}', "{'a':1}", '\u0000']) {
      const { status, code, param, message } = await refusal(send(body));
      expect([status, code, param]).toEqual([400, 'invalid_json', 'body']);
      expect(message).not.toContain('SECRET');
    }
  });

  test('that is not UTF-8 is refused', async () => {
    for (const bytes of [
      [0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d],
      [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0x7b, 0x22, 0xc3],
    ]) {
      expect(await refusal(send(Uint8Array.from(bytes)))).toMatchObject({ status: 400, code: 'invalid_json', param: 'body' });
    }
  });

  test('may begin with a byte order mark', async () => {
    expect(await (await send(Uint8Array.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]))).json()).toEqual({ raw: '{}', body: {} });
  });

  test('that is empty or no object is refused', async () => {
    for (const body of ['', '[]', '1', 'null', '"text"', 'true', chunked()]) {
      expect(await refusal(send(body))).toMatchObject({ status: 400, code: 'invalid_request', param: 'body' });
    }
  });

  test('that is nested too deep is refused by the name of its field', async () => {
    const brackets = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(await refusal(send(`{"input":${brackets(40_000)}}`))).toMatchObject({ status: 400, code: 'invalid_request', param: 'input' });
    expect(await refusal(send('['.repeat(MAX_BYTES)))).toMatchObject({ status: 400, code: 'invalid_request', param: 'body' });
    expect((await send(`{"input":${brackets(63)}}`)).status).toBe(200);
  });

  test('cannot reach a prototype', async () => {
    const response = await send('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
    expect(response.status).toBe(200);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('must not be compressed', async () => {
    expect(await refusal(send('{}', { 'content-encoding': 'gzip' }))).toMatchObject({ status: 415, code: 'unsupported_media_type', param: 'body' });
    expect((await send('{}', { 'content-encoding': 'identity' })).status).toBe(200);
  });
});

/** Sends bytes as they are; resolves with what came back once the server closed, or `silent` when it still waits. */
const raw = async (text: string, { end = false, waitMs = 2000 } = {}): Promise<string> => {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let received = '';
  socket.on('data', (data) => {
    received += data.toString();
    if (received.includes('}')) socket.destroy();
  });
  // The server may reset a connection it has answered.
  socket.on('error', () => undefined);
  socket.write(text);
  if (end) socket.end();
  const timer = setTimeout(() => socket.destroy(), waitMs);
  await once(socket, 'close');
  clearTimeout(timer);
  return received;
};

describe('on the wire', () => {
  test('a length over the limit is answered before a byte of the body was sent', async () => {
    expect(await raw('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100001\r\n\r\n')).toMatch(/^HTTP\/1.1 413 .*payload_too_large/s);
    expect(await raw('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n')).toMatch(/^HTTP\/1.1 4/);
  });

  test('a body without end is answered when it passes the limit', async () => {
    const chunk = `${(50_000).toString(16)}\r\n${'x'.repeat(50_000)}\r\n`;
    expect(await raw(`POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(3)}`)).toMatch(/^HTTP\/1.1 413 .*payload_too_large/s);
  });

  test('a connection stays usable after a body that was refused unread', async () => {
    for (let round = 0; round < 3; round++) {
      expect((await overHttp(big(11_000_000))).status).toBe(413);
      expect((await overHttp('{}')).status).toBe(200);
    }
  });

  test('a client that goes away in the middle leaves the server well', async () => {
    await raw('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"a":', { end: true, waitMs: 200 });
    expect((await overHttp('{}')).status).toBe(200);
  });
});

import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Lookup } from '../../src/web/connect.ts';
import { type SafeFetchOptions, safeFetch } from '../../src/web/safe-fetch.ts';
import { answering, closeServers, failure, fuseSockets, listen, listenTcp } from '../loopback.ts';

const INSIDE = { timeoutMs: 5000, maxBytes: 100_000, allowPrivateNetwork: true } satisfies SafeFetchOptions;
const dials = fuseSockets();
afterEach(closeServers);

describe('limits', () => {
  test('a body over the limit fails, or is cut when that was asked for', async () => {
    const { url } = await listen((request, response) => {
      if (request.url === '/chunked') response.write('x');
      response.end('x'.repeat(200_000));
    });
    for (const path of ['/', '/chunked']) {
      expect((await failure(safeFetch(url + path, INSIDE))).message).toMatch(/too large/);
      const reply = await safeFetch(url + path, { ...INSIDE, truncate: true });
      expect(reply).toMatchObject({ status: 200, truncated: true });
      expect(reply.body).toHaveLength(INSIDE.maxBytes);
    }
    expect((await safeFetch(url, { ...INSIDE, maxBytes: 200_000 })).body).toHaveLength(200_000);
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ] as const)('a %s bomb is stopped at the limit', async (coding, pack) => {
    const bomb = pack(Buffer.alloc(50_000_000));
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-encoding': coding }).end(bomb));
    expect(bomb.length).toBeLessThan(INSIDE.maxBytes);
    expect((await failure(safeFetch(url, INSIDE))).message).toMatch(/too large/);
    const cut = await safeFetch(url, { ...INSIDE, truncate: true });
    expect(cut.truncated).toBe(true);
    expect(cut.body).toHaveLength(INSIDE.maxBytes);
  });

  test('packed bytes that unpack to nothing end too', async () => {
    const nothing = Buffer.concat(Array.from({ length: 5000 }, () => gzipSync('')));
    let sent = 0;
    const { url } = await listen((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      const more = (): void => {
        while (!response.destroyed && sent < 500_000_000) {
          sent += nothing.length;
          if (!response.write(nothing)) return void response.once('drain', more);
        }
      };
      more();
    });
    expect((await failure(safeFetch(url, INSIDE))).code).toBe('fetch_failed');
    expect(sent).toBeLessThan(20_000_000);
  });

  test.each(['gzip, gzip', 'zstd', 'compress', 'toString', 'gzip,br'])('a body packed as "%s" is not read', async (coding) => {
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-encoding': coding }).end('x'));
    expect((await failure(safeFetch(url, INSIDE))).message).toMatch(/compressed/);
    expect(await safeFetch(url, { ...INSIDE, truncate: true })).toMatchObject({ status: 200, truncated: true });
  });

  test.each([
    ['damaged', Buffer.from('no gzip at all')],
    ['cut', gzipSync('hello '.repeat(5000)).subarray(0, 60)],
  ])('a %s gzip body fails, or gives what came', async (_name, bytes) => {
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes));
    expect((await failure(safeFetch(url, INSIDE))).message).toMatch(/compressed/);
    expect(await safeFetch(url, { ...INSIDE, truncate: true })).toMatchObject({ status: 200, truncated: true });
  });

  test('the time limit covers silence, slow headers and slow bodies alike, and the connection is closed', async () => {
    const closed: string[] = [];
    const { url } = await listen((request, response) => {
      response.on('close', () => closed.push(request.url ?? ''));
      if (request.url === '/silent') return;
      const drip = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(drip));
    });
    for (const path of ['/silent', '/drip']) {
      const error = await failure(safeFetch(url + path, { ...INSIDE, timeoutMs: 200 }));
      expect(error).toMatchObject({ code: 'fetch_failed' });
      expect(error.message).toMatch(/timeout/);
    }
    await vi.waitFor(() => expect(closed).toEqual(['/silent', '/drip']));
  });

  test('the time limit covers a resolver that never answers, and redirects together', async () => {
    const never: Lookup = () => new Promise(() => undefined);
    expect((await failure(safeFetch('http://slow.test/', { ...INSIDE, timeoutMs: 50, lookup: never }))).message).toMatch(/timeout/);
    const { url } = await listen((_request, response) => void setTimeout(() => response.writeHead(302, { location: '/' }).end(), 100));
    expect((await failure(safeFetch(url, { ...INSIDE, timeoutMs: 250, maxRedirects: 100 }))).message).toMatch(/timeout/);
    expect(dials.length).toBeLessThan(5);
  });

  test('an abort ends the fetch with the reason of the signal, at any stage', async () => {
    const { url } = await listen((request, response) => {
      if (request.url === '/body') response.write('x');
    });
    const never: Lookup = () => new Promise(() => undefined);
    for (const [target, extra] of [[`${url}/headers`, {}] as const, [`${url}/body`, {}] as const, ['http://slow.test/', { lookup: never }] as const]) {
      const stop = new AbortController();
      const reason = new Error('cancelled by the user');
      setTimeout(() => stop.abort(reason), 50);
      await expect(safeFetch(target, { ...INSIDE, ...extra, signal: stop.signal })).rejects.toBe(reason);
    }
    const dialled = dials.length;
    await expect(safeFetch(url, { ...INSIDE, signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
    expect(dials).toHaveLength(dialled);
  });
});

describe('failures', () => {
  test('are named without any address', async () => {
    const { port } = await listen((_request, response) => response.destroy());
    const { lookup } = answering(['127.0.0.1']);
    const cut = await failure(safeFetch(`http://cut.test:${port}/`, { ...INSIDE, lookup }));
    expect(cut).toMatchObject({ code: 'fetch_failed', retryable: false, message: 'The connection was cut.' });
    const refused = await failure(safeFetch('http://refused.test:65535/', { ...INSIDE, lookup }));
    expect(refused).toMatchObject({ code: 'fetch_failed', message: 'The connection was refused.' });
    const missing = await failure(safeFetch('http://missing.test/', { ...INSIDE, lookup: answering([]).lookup }));
    expect(missing).toMatchObject({ code: 'fetch_failed', message: 'The host name could not be resolved (DNS).' });
  });

  test.each([
    'not http at all\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
    'HTTP/1.1 200 OK\r\nX: a\u0000b\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
  ])('a reply that is no HTTP is refused (%#)', async (answer) => {
    const port = await listenTcp((socket) => void socket.end(answer));
    const error = await failure(safeFetch(`http://127.0.0.1:${port}/`, INSIDE));
    expect(error.code).toBe('fetch_failed');
    expect(error.message).toMatch(/not valid HTTP|too large|was cut/);
  });

  test('a body shorter than announced is a failure, not a short body', async () => {
    const { url } = await listen((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('short');
      setTimeout(() => response.destroy(), 20);
    });
    expect((await failure(safeFetch(url, INSIDE))).message).toBe('The connection was cut.');
  });
});

import type { IncomingMessage, RequestListener } from 'node:http';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { Lookup } from '../../src/web/connect.ts';
import { type SafeFetchOptions, safeFetch } from '../../src/web/safe-fetch.ts';
import { answering, closeServers, failure, fuseSockets, listen, listenTcp, readAll } from '../loopback.ts';

const INSIDE = { timeoutMs: 5000, maxBytes: 100_000, allowPrivateNetwork: true } satisfies SafeFetchOptions;
const dials = fuseSockets();
afterEach(closeServers);

describe('fetching', () => {
  test('returns status, lower-case headers and body of any status', async () => {
    const { url } = await listen((_request, response) => {
      response.writeHead(404, { 'Retry-After': '7', 'X-Twice': ['a', 'b'] });
      response.end('no such thing');
    });
    const reply = await safeFetch(`${url}/x?y=1#z`, INSIDE);
    expect(reply).toMatchObject({ status: 404, url: `${url}/x?y=1#z`, truncated: false });
    expect(reply.headers).toMatchObject({ 'retry-after': '7', 'x-twice': 'a, b' });
    expect(reply.body.toString()).toBe('no such thing');
  });

  test('sends method, headers and body, and no cookie that an earlier reply set', async () => {
    const seen: { method?: string | undefined; headers: IncomingMessage['headers']; text: string }[] = [];
    const { url } = await listen((request, response) => {
      void readAll(request).then((text) => {
        seen.push({ method: request.method, headers: request.headers, text });
        response.writeHead(204, { 'set-cookie': 'a=1' }).end();
      });
    });
    const post = { ...INSIDE, method: 'POST', headers: { 'Content-Type': 'application/json', 'webhook-id': 'evt_1' }, body: '{"ä":1}' } as const;
    expect((await safeFetch(url, post)).status).toBe(204);
    await safeFetch(url, INSIDE);
    expect(seen[0]).toMatchObject({ method: 'POST', text: '{"ä":1}', headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' } });
    expect(seen[1]).toMatchObject({ method: 'GET', text: '' });
    expect(seen[1]?.headers).not.toHaveProperty('cookie');
  });

  test('resolves a name once for each connection, and sends the name as Host', async () => {
    const { port } = await listen((request, response) => response.end(request.headers.host));
    const { lookup, asked } = answering(['127.0.0.1']);
    const reply = await safeFetch(`http://service.test:${port}/`, { ...INSIDE, lookup });
    expect(reply.body.toString()).toBe(`service.test:${port}`);
    expect(asked).toEqual(['service.test']);
  });

  test('names the host in the TLS handshake although it dials a checked address', async () => {
    let hello = '';
    const port = await listenTcp((socket) => {
      socket.once('data', (bytes) => {
        hello = bytes.toString('latin1');
        socket.destroy();
      });
    });
    const { lookup } = answering(['127.0.0.1']);
    const error = await failure(safeFetch(`https://secure.test.:${port}/`, { ...INSIDE, lookup }));
    expect(error.code).toBe('fetch_failed');
    expect(hello).toContain('secure.test');
    expect(hello).not.toContain('secure.test.');
    // The whole ALPN list (RFC 7301 3.1): nine bytes, http/1.1 alone. `h2` anywhere would be found in the random bytes now and then.
    expect(hello).toContain('\x00\x09\x08http/1.1');
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ] as const)('unpacks %s', async (coding, pack) => {
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-encoding': coding }).end(pack('hello '.repeat(1000))));
    expect((await safeFetch(url, INSIDE)).body.toString()).toBe('hello '.repeat(1000));
  });

  test('an empty body that claims to be packed is empty', async () => {
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end());
    expect((await safeFetch(url, INSIDE)).body).toHaveLength(0);
  });
});

describe('redirects', () => {
  const chain: RequestListener = (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end(`${request.method} ${request.headers.authorization ?? '-'} ${request.headers['x-own'] ?? '-'}`);
    else response.writeHead(302, { location: `/${left - 1}` }).end('moved');
  };

  test('are followed up to the limit', async () => {
    const { url } = await listen(chain);
    expect(await safeFetch(`${url}/5`, INSIDE)).toMatchObject({ status: 200, url: `${url}/0` });
    expect((await failure(safeFetch(`${url}/6`, INSIDE))).message).toMatch(/too many redirects/);
    expect(await safeFetch(`${url}/2`, { ...INSIDE, maxRedirects: 2 })).toMatchObject({ status: 200 });
  });

  test('are returned as they are when none is wanted', async () => {
    const { url, connections } = await listen(chain);
    const reply = await safeFetch(`${url}/3`, { ...INSIDE, maxRedirects: 0 });
    expect(reply).toMatchObject({ status: 302, headers: { location: '/2' } });
    expect(reply.body.toString()).toBe('moved');
    expect(connections()).toBe(1);
  });

  test('end in an error when they go in circles or lead nowhere', async () => {
    const { url } = await listen((request, response) => response.writeHead(301, { location: request.url === '/x' ? 'http://[' : '/' }).end());
    expect((await failure(safeFetch(url, INSIDE))).message).toMatch(/too many redirects/);
    expect((await failure(safeFetch(`${url}/x`, INSIDE))).message).toMatch(/cannot be read/);
  });

  test('a 304 and a redirect without a location are no redirects', async () => {
    const { url } = await listen((request, response) => response.writeHead(request.url === '/304' ? 304 : 302).end());
    expect((await safeFetch(`${url}/304`, INSIDE)).status).toBe(304);
    expect((await safeFetch(`${url}/302`, INSIDE)).status).toBe(302);
  });

  test('take no private header to another origin', async () => {
    const other = await listen(chain);
    const { url } = await listen((request, response) => response.writeHead(302, { location: request.url === '/out' ? `${other.url}/0` : '/out' }).end());
    const reply = await safeFetch(url, { ...INSIDE, headers: { Authorization: 'Bearer secret', 'X-Own': 'secret' } });
    expect(reply.body.toString()).toBe('GET - -');
  });

  test.each([
    [302, 'GET '],
    [303, 'GET '],
    [307, 'POST hello'],
    [308, 'POST hello'],
  ])('a POST answered %i goes on as "%s"', async (status, expected) => {
    const { url } = await listen((request, response) => {
      void readAll(request).then((text) => {
        if (request.url === '/end') response.end(`${request.method} ${text}`);
        else response.writeHead(status, { location: '/end' }).end();
      });
    });
    expect((await safeFetch(url, { ...INSIDE, method: 'POST', body: 'hello' })).body.toString()).toBe(expected);
  });

  test.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://[fd00:ec2::254]/',
    'http://[::ffff:a9fe:a9fe]/',
    'http://100.100.100.200/',
    'http://metadata.test/',
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'javascript:alert(1)',
    'http://127.0.0.1:22/',
    'http://user:pass@127.0.0.1/',
  ])('to %s are refused before a socket exists, even when the private network is allowed', async (location) => {
    const { port, connections } = await listen((_request, response) => response.writeHead(302, { location }).end());
    const lookup: Lookup = async (hostname) => [{ address: hostname === 'metadata.test' ? '169.254.169.254' : '127.0.0.1', family: 4 }];
    const error = await failure(safeFetch(`http://start.test:${port}/`, { ...INSIDE, lookup }));
    expect(error).toMatchObject({ code: 'invalid_url', param: 'url' });
    expect(error.message).not.toContain('169.254');
    expect(connections()).toBe(1);
    expect(dials).toHaveLength(1);
  });
});

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Listening, listen } from '../src/listen.ts';
import { startTestApp, type TestApp } from './test-app.ts';

/** The rule in small: 1,000 bytes in every second. */
const RATE = { minBytes: 1000, everyMs: 1000, checkEveryMs: 20 };

let app: TestApp;
let server: Listening;
let port = 0;
let key: string;
beforeAll(async () => {
  app = await startTestApp();
  server = await listen(app.app, { port: 0, host: '127.0.0.1', sendingRate: RATE });
  const address = server.server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  ({ key } = await app.newKey());
});
afterAll(async () => {
  server.server.closeAllConnections();
  await server.drain();
  await app.stop();
});

const FORM = { 'content-type': 'multipart/form-data; boundary=xx' };
const START =
  '--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
const END = '\r\n--xx--\r\n';

/** Sends the pieces `everyMs` apart until the other side closes; resolves to what it answered. */
const send = async (path: string, headers: Record<string, string>, pieces: string[], everyMs: number): Promise<string> => {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  let isClosed = false;
  socket.on('error', () => undefined);
  socket.on('data', (data) => {
    answer += data.toString();
  });
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      isClosed = true;
      resolve();
    });
  });
  const all = { host: 'x', connection: 'close', authorization: `Bearer ${key}`, 'content-length': String(pieces.join('').length), ...headers };
  socket.write(
    `POST ${path} HTTP/1.1\r\n${Object.entries(all)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`,
  );
  for (const piece of pieces) {
    if (isClosed) break;
    socket.write(piece);
    await sleep(everyMs);
  }
  await closed;
  return answer;
};

test('an upload that makes progress goes on, however long it takes', async () => {
  const pieces = [START, ...Array.from({ length: 12 }, () => 'x'.repeat(2000)), END];
  const answer = await send('/v1/files', FORM, pieces, 200);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toContain('"bytes":24000');
});

test('an upload that trickles is answered 408, and leaves nothing', async () => {
  const answer = await send('/v1/files', FORM, [START, ...'x'.repeat(500), END], 20);
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  // The upload of the test before is all there is.
  await expect.poll(() => app.deps.redis.zcard('fana:blobs')).toBe(1);
});

test.each(['/v1/jobs', '/v1/chat/completions'])('a body of JSON that trickles is answered 408: %s', async (path) => {
  const answer = await send(path, { 'content-type': 'application/json' }, [...`{"input":"${'x'.repeat(500)}"}`], 20);
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

test('a request without a body that never ends is cut', async () => {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  socket.resume();
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc');
  await closed;
});

test('a connection that waits for its next request, or for an answer, is left alone', async () => {
  const socket = connect(port, '127.0.0.1');
  let answers = 0;
  socket.on('data', (data) => {
    answers += data.toString().split('HTTP/1.1 200').length - 1;
  });
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
  await expect.poll(() => answers).toBe(1);
  await sleep(1500);
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
  await expect.poll(() => answers).toBe(2);
  const waited = await fetch(`http://127.0.0.1:${port}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', prefer: 'wait=1' },
    body: '{"type":"chat","input":"nobody works on it"}',
  });
  expect(waited.status).toBe(202);
  socket.destroy();
});

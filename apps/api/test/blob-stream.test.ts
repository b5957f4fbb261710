import { randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { signedBlobUrl } from '@fana/core/blobs/signed-url.ts';
import { saveBlob } from '@fana/core/blobs/store.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Listening, listen } from '../src/listen.ts';
import { startTestApp, type TestApp } from './test-app.ts';

let app: TestApp;
let server: Listening;
let base: string;
beforeAll(async () => {
  app = await startTestApp();
  server = await listen(app.app, { port: 0, host: '127.0.0.1' });
  const address = server.server.address();
  base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
});
afterAll(async () => {
  server.server.closeAllConnections();
  await server.drain();
  await app.stop();
});

const SIZE = 20_000_000;
const saveBig = async () => {
  const bytes = randomBytes(SIZE);
  const { id } = await saveBlob(app.deps, { tenant: 'acme', bytes, mediaType: 'image/png' });
  const { pathname, search } = new URL(signedBlobUrl(app.deps.config, id, Date.now() + 60_000));
  return { id, bytes, url: base + pathname + search };
};
/** How many times this process holds the blob's file open (Linux only; elsewhere nothing can be seen). */
const openFiles = (id: string): number => {
  try {
    return readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).includes(id);
      } catch {
        return false;
      }
    }).length;
  } catch {
    return 0;
  }
};

test('20 MB come over HTTP byte for byte, with their length', async () => {
  const { url, bytes } = await saveBig();
  const response = await fetch(url);
  expect(response.headers.get('content-length')).toBe(String(SIZE));
  expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
});

test('a reader that goes away and a HEAD leave no file open', async () => {
  const { id, url } = await saveBig();
  for (let round = 0; round < 5; round++) {
    const gone = new AbortController();
    const response = await fetch(url, { signal: gone.signal });
    await response.body?.getReader().read();
    gone.abort();
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(SIZE));
  }
  await expect.poll(() => openFiles(id), { timeout: 5000 }).toBe(0);
});

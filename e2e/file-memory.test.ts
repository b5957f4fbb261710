import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

let fana: Installation;
beforeAll(async () => {
  fana = await startInstallation();
});
afterAll(() => fana.stop());

const MEGABYTE = 1_000_000;
const SIZE_MB = 200;

/** Memory of the API's process in MB (Linux only): now, or at its highest. */
const memoryMb = async (field: 'VmRSS' | 'VmHWM'): Promise<number> => {
  const status = await readFile(`/proc/${fana.api.child.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
};

const body = async function* (piece: Uint8Array) {
  yield Buffer.from('--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n');
  yield Buffer.from('--xx\r\nContent-Disposition: form-data; name="file"; filename="big.jsonl"\r\n\r\n');
  for (let at = 0; at < SIZE_MB; at++) yield piece;
  yield Buffer.from('\r\n--xx--\r\n');
};

test.skipIf(process.platform !== 'linux')('200 MB go into the blob store and out again, and the API never holds them', async () => {
  const before = await memoryMb('VmRSS');
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'multipart/form-data; boundary=xx' };
  const response = await fetch(`${fana.url}/v1/files`, {
    method: 'POST',
    headers,
    body: ReadableStream.from(body(new Uint8Array(MEGABYTE).fill(120))),
    duplex: 'half',
  });
  expect(response.status).toBe(200);
  const file = (await response.json()) as { id: string; bytes: number };
  expect(file.bytes).toBe(SIZE_MB * MEGABYTE);
  const uploaded = await memoryMb('VmHWM');
  let received = 0;
  const content = await fetch(`${fana.url}/v1/files/${file.id}/content`, { headers });
  for await (const chunk of content.body ?? []) received += chunk.byteLength;
  expect(received).toBe(SIZE_MB * MEGABYTE);
  const downloaded = await memoryMb('VmHWM');
  console.info(`API: ${before.toFixed(0)} MB before, at most ${uploaded.toFixed(0)} MB in the upload, ${downloaded.toFixed(0)} MB in the download`);
  expect(uploaded - before).toBeLessThan(SIZE_MB / 2);
  expect(downloaded).toBeLessThan(300);
});

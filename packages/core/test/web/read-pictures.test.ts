import sharp from 'sharp';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { AppError } from '../../src/errors.ts';
import type { ImageRef } from '../../src/jobs/job.ts';
import { type KeptPictures, readPictures } from '../../src/web/read-pictures.ts';
import { closeServers, failure, fuseSockets, listen } from '../loopback.ts';
import { memoryDeps } from '../memory-deps.ts';

fuseSockets();
afterEach(closeServers);

const draw = (width: number): Promise<Buffer> =>
  sharp({ create: { width, height: 2, channels: 3, background: '#c33' } })
    .png()
    .toBuffer();
const pictures = await Promise.all([10, 20, 30].map(draw));
const never = new AbortController().signal;
const linked = (url: string): ImageRef => ({ kind: 'url', url });

/** What a job record would remember. */
const remembering = (): KeptPictures & { blobs: Map<string, string> } => {
  const blobs = new Map<string, string>();
  return { blobs, blobIdOf: (url) => blobs.get(url), note: async (url, blobId) => void blobs.set(url, blobId) };
};

const serving = async (): Promise<{ url: string; asked: string[] }> => {
  const asked: string[] = [];
  const { url } = await listen((request, response) => {
    asked.push(request.url ?? '');
    response.end(pictures[Number(request.url?.slice(1)) % 3]);
  });
  return { url, asked };
};

describe('the pictures of a job', () => {
  test('come in the order they were named, each read once', async () => {
    const { url, asked } = await serving();
    const images = ['/2', '/0', '/2', '/1', '/0'].map((path) => linked(url + path));
    const read = await readPictures(memoryDeps(), { tenant: 'default' }, images, never);
    expect(read.map(({ width }) => width)).toEqual([30, 10, 30, 20, 10]);
    expect(asked.sort()).toEqual(['/0', '/1', '/2']);
  });

  test('may be none', async () => {
    expect(await readPictures(memoryDeps(), { tenant: 'default' }, [], never)).toEqual([]);
  });

  test('are at most 64, at most four at once, and 50 MB together', async () => {
    const { url, asked } = await serving();
    const many = Array.from({ length: 65 }, (_, at) => linked(`${url}/${at}`));
    expect((await failure(readPictures(memoryDeps(), { tenant: 'default' }, many, never))).message).toMatch(/65 pictures/);
    expect(asked).toEqual([]);

    let open = 0;
    let most = 0;
    const big = Buffer.concat([pictures[0] ?? Buffer.alloc(0), Buffer.alloc(19_000_000)]);
    const slow = await listen((_request, response) => {
      open += 1;
      most = Math.max(most, open);
      response.on('close', () => {
        open -= 1;
      });
      setTimeout(() => response.end(big), 20);
    });
    const heavy = Array.from({ length: 6 }, (_, at) => linked(`${slow.url}/${at}`));
    expect(await failure(readPictures(memoryDeps(), { tenant: 'default' }, heavy, never))).toMatchObject({
      code: 'image_unreadable',
      message: expect.stringMatching(/too large together/),
    });
    expect(most).toBeLessThanOrEqual(4);
    await vi.waitFor(() => expect(open).toBe(0));
  });

  test('are given up together: one that cannot be used stops the reading of the others', async () => {
    let closed = 0;
    const { url } = await listen((request, response) => {
      if (request.url === '/bad') setTimeout(() => response.end('no picture'), 50);
      else response.on('close', () => void closed++);
    });
    const error = await failure(readPictures(memoryDeps(), { tenant: 'default' }, [linked(`${url}/silent`), linked(`${url}/bad`)], never));
    expect(error).toMatchObject({ code: 'image_unreadable', message: expect.stringContaining(`${url}/bad`) });
    await vi.waitFor(() => expect(closed).toBe(1));
  });
});

describe('kept pictures', () => {
  test('are fetched once, become blobs of the tenant, and are read from there at the next attempt', async () => {
    const deps = memoryDeps();
    const kept = remembering();
    const { url, asked } = await serving();
    const first = await readPictures(deps, { tenant: 'default', kept }, [linked(`${url}/0`), linked(`${url}/1`)], never);
    const again = await readPictures(deps, { tenant: 'default', kept }, [linked(`${url}/0`), linked(`${url}/1`)], never);
    expect(again).toEqual(first);
    expect(asked).toHaveLength(2);
    expect(kept.blobs.size).toBe(2);
  });

  test('whose blob is gone are fetched again', async () => {
    const kept = remembering();
    const { url, asked } = await serving();
    await readPictures(memoryDeps(), { tenant: 'default', kept }, [linked(`${url}/0`)], never);
    const [lost] = kept.blobs.values();
    await readPictures(memoryDeps(), { tenant: 'default', kept }, [linked(`${url}/0`)], never);
    expect(asked).toHaveLength(2);
    expect([...kept.blobs.values()]).not.toContain(lost);
  });

  test('leave no blob behind when the job cannot own it', async () => {
    const deps = memoryDeps();
    const { url } = await serving();
    const kept: KeptPictures = { blobIdOf: () => undefined, note: () => Promise.reject(new AppError('lease_lost', 'Another worker holds the job.')) };
    expect((await failure(readPictures(deps, { tenant: 'default', kept }, [linked(`${url}/0`)], never))).code).toBe('lease_lost');
    expect(deps.lines.size).toBe(0);
    expect(deps.files.size).toBe(0);
  });
});

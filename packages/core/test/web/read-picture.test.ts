import sharp from 'sharp';
import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../src/errors.ts';
import { newId } from '../../src/ids.ts';
import { keepPicture, readPicture } from '../../src/web/read-picture.ts';
import { closeServers, failure, fuseSockets, listen } from '../loopback.ts';
import { memoryDeps } from '../memory-deps.ts';

fuseSockets();
afterEach(closeServers);

const png = await sharp({ create: { width: 30, height: 20, channels: 3, background: '#c33' } })
  .png()
  .toBuffer();
const never = new AbortController().signal;
const TENANT = 'default';

describe('a linked picture', () => {
  test('is fetched and known by its bytes, whatever the server calls it', async () => {
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(png));
    expect(await readPicture(memoryDeps(), TENANT, { kind: 'url', url: `${url}/photo.JPG?x=1` }, never)).toEqual({
      bytes: png,
      mediaType: 'image/png',
      width: 30,
      height: 20,
    });
  });

  test.each([
    ['/missing.png', /The server answered 404/],
    ['/page.png', /web page/],
    ['/huge.png', /too large/],
    ['/cut.png', /cut off/],
    ['/reset.png', /connection was cut/],
    ['/inside', /may not be reached/],
  ])('that cannot be used (%s) is image_unreadable, by its URL without the query', async (path, reason) => {
    const { url } = await listen((request, response) => {
      if (request.url?.startsWith('/missing')) response.writeHead(404).end(png);
      else if (request.url?.startsWith('/page')) response.end('<!doctype html>');
      else if (request.url?.startsWith('/huge')) response.end(Buffer.alloc(20_000_001));
      else if (request.url?.startsWith('/cut')) response.end(png.subarray(0, 60));
      else if (request.url?.startsWith('/inside')) response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
      else response.destroy();
    });
    const error = await failure(readPicture(memoryDeps(), TENANT, { kind: 'url', url: `${url}${path}?key=secret` }, never));
    expect(error).toMatchObject({ code: 'image_unreadable', param: 'input' });
    expect(error.message).toMatch(reason);
    expect(error.message).toContain(`${url}${path} `);
    expect(error.message).not.toMatch(/secret|169\.254/);
  });

  test('inside is not fetched unless the operator allows it', async () => {
    const { url, connections } = await listen((_request, response) => response.end(png));
    const error = await failure(readPicture(memoryDeps({ allowPrivateNetwork: false }), TENANT, { kind: 'url', url }, never));
    expect(error.code).toBe('image_unreadable');
    expect(connections()).toBe(0);
  });

  test('ends with the reason of the signal, even if that is an error of ours', async () => {
    const { url } = await listen(() => undefined);
    for (const reason of [new Error('stopped'), new AppError('cancelled', 'The job was cancelled.')]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(reason), 30);
      await expect(readPicture(memoryDeps(), TENANT, { kind: 'url', url }, stop.signal)).rejects.toBe(reason);
    }
  });
});

describe('an attached picture', () => {
  test('is read from its blob; a kept one too', async () => {
    const deps = memoryDeps();
    const blobId = await keepPicture(deps, TENANT, { bytes: png, mediaType: 'image/png', width: 30, height: 20 });
    expect(await readPicture(deps, TENANT, { kind: 'blob', blobId }, never)).toMatchObject({ bytes: png, mediaType: 'image/png' });
    expect(JSON.stringify([...deps.lines.values()])).not.toContain(png.toString('base64').slice(0, 40));
  });

  test('of another tenant, expired, or never there is image_unreadable by its id, all alike', async () => {
    const deps = memoryDeps();
    const blobId = await keepPicture(deps, 'other', { bytes: png, mediaType: 'image/png', width: 30, height: 20 });
    const foreign = await failure(readPicture(deps, TENANT, { kind: 'blob', blobId }, never));
    const unknown = newId('blob');
    const absent = await failure(readPicture(deps, TENANT, { kind: 'blob', blobId: unknown }, never));
    expect(foreign.code).toBe('image_unreadable');
    expect(foreign.message).toContain(blobId);
    expect(foreign.message.replaceAll(blobId, 'ID')).toBe(absent.message.replaceAll(unknown, 'ID'));
    deps.clock.ms += 10 ** 12;
    expect((await failure(readPicture(deps, 'other', { kind: 'blob', blobId }, never))).code).toBe('image_unreadable');
  });

  test('stays storage_error when the store fails: another attempt may help', async () => {
    const deps = memoryDeps();
    const blobId = await keepPicture(deps, TENANT, { bytes: png, mediaType: 'image/png', width: 30, height: 20 });
    const broken = { ...deps, blobs: { ...deps.blobs, read: () => Promise.reject(new AppError('storage_error', 'The blob store is away.')) } };
    expect((await failure(readPicture(broken, TENANT, { kind: 'blob', blobId }, never))).code).toBe('storage_error');
  });
});

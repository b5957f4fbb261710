import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { AppError } from '../errors.ts';
import { inspectPicture } from './inspect-picture.ts';

/** The refusal of some bytes. */
const refusal = async (bytes: Buffer): Promise<AppError> => {
  const thrown = await inspectPicture(bytes).catch((error: unknown) => error);
  if (thrown instanceof AppError) return thrown;
  throw thrown instanceof Error ? thrown : new Error('it was accepted');
};

const draw = (width = 64, height = 48) =>
  sharp({ create: { width, height, channels: 4, background: { r: 200, g: 30, b: 30, alpha: 0.5 }, noise: { type: 'gaussian', mean: 120, sigma: 40 } } });
const drawn = {
  png: await draw().png().toBuffer(),
  jpeg: await draw().jpeg().toBuffer(),
  'progressive jpeg': await draw()
    .withExif({ IFD0: { Copyright: 'x' } })
    .jpeg({ progressive: true })
    .toBuffer(),
  'lossy webp': await draw().webp().toBuffer(),
  'opaque webp': await draw().removeAlpha().webp().toBuffer(),
  'lossless webp': await draw().webp({ lossless: true }).toBuffer(),
  gif: await draw().gif().toBuffer(),
};
const others = { tiff: await draw().tiff().toBuffer(), avif: await draw().avif({ effort: 0 }).toBuffer() };
const all = Object.entries(drawn);

const pngChunk = (type: string, data: Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length, 0);
  numbers.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([numbers.subarray(0, 4), body, numbers.subarray(4)]);
};
/** A PNG of a few bytes that claims any size. */
const pngOf = (width: number, height: number): Buffer => {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  return Buffer.concat([drawn.png.subarray(0, 8), pngChunk('IHDR', header), pngChunk('IDAT', Buffer.alloc(20)), pngChunk('IEND', Buffer.alloc(0))]);
};
const patched = (bytes: Buffer, at: number, patch: number[]): Buffer => {
  const copy = Buffer.from(bytes);
  copy.set(patch, at);
  return copy;
};

describe('a picture is known by its own bytes', () => {
  test.each(all)('%s: type and size', async (name, bytes) => {
    expect(await inspectPicture(bytes)).toEqual({ mediaType: `image/${name.split(' ').at(-1)}`, width: 64, height: 48 });
    const meta = await sharp(bytes).metadata();
    expect({ width: meta.width, height: meta.height }).toEqual({ width: 64, height: 48 });
  });

  test('bytes behind the end do no harm', async () => {
    for (const [, bytes] of all) expect(await inspectPicture(Buffer.concat([bytes, Buffer.from('trailing')]))).toMatchObject({ width: 64 });
  });

  test('a damaged note inside a PNG does no harm', async () => {
    const end = drawn.png.length - 12;
    const note = pngChunk('tEXt', Buffer.from('Comment\0hello'));
    note[10] = 0;
    expect(await inspectPicture(Buffer.concat([drawn.png.subarray(0, end), note, drawn.png.subarray(end)]))).toMatchObject({ width: 64 });
  });

  test('animations count as pictures of one frame', async () => {
    const frames = await draw(40, 90).png().toBuffer();
    const animated = sharp(frames, { pages: 1 });
    for (const bytes of [await animated.clone().gif({ loop: 1 }).toBuffer(), await animated.clone().webp({ loop: 1 }).toBuffer()]) {
      expect(await inspectPicture(bytes)).toMatchObject({ width: 40, height: 90 });
    }
  });
});

describe('what is refused, with the reason', () => {
  test.each(all)('%s cut anywhere', async (_name, bytes) => {
    for (let end = 12; end < bytes.length; end += Math.ceil(bytes.length / 200)) {
      expect((await refusal(bytes.subarray(0, end))).code).toBe('image_unreadable');
    }
    expect((await refusal(bytes.subarray(0, -2))).message).toMatch(/cut off/);
  });

  test.each([
    ['png', pngOf(50_000, 50_000)],
    ['png, one long line', pngOf(4_294_967_295, 1)],
    ['png just over', pngOf(8000, 5001)],
    ['jpeg', patched(drawn.jpeg, drawn.jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5, [0xff, 0xff, 0xff, 0xff])],
    ['gif', patched(drawn.gif, 6, [0xff, 0xff, 0xff, 0xff])],
    ['webp', patched(drawn['lossy webp'], 24, [0xff, 0xff, 0, 0xff, 0xff, 0])],
  ])('a bomb of more than 40 million pixels: %s', async (_name, bytes) => {
    expect(await refusal(bytes)).toMatchObject({ code: 'image_unreadable', message: expect.stringMatching(/too large: \d+ × \d+ pixels/) });
  });

  test('40 million pixels are still read', async () => {
    expect(await inspectPicture(pngOf(8000, 5000))).toEqual({ mediaType: 'image/png', width: 8000, height: 5000 });
  });

  test.each([
    ['no pixels (png)', pngOf(0, 10)],
    ['no pixels (gif)', patched(drawn.gif, 6, [0, 0])],
    ['a broken checksum', patched(drawn.png, drawn.png.indexOf('IDAT') + 8, [1, 2, 3, 4, 5])],
    ['no frame', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xda, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd9])],
    ['an unknown webp chunk', patched(drawn['lossless webp'], 12, [0x58, 0x58, 0x58, 0x58])],
  ])('%s', async (_name, bytes) => {
    expect((await refusal(bytes)).message).toMatch(/damaged/);
  });

  test.each([
    ['an SVG drawing', Buffer.from('<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['a web page', Buffer.from('<!DOCTYPE html><html><body>photo.jpg</body></html>')],
    ['a PDF document', Buffer.from('%PDF-1.7\n…')],
    ['a TIFF picture', others.tiff],
    ['an AVIF picture', others.avif],
    ['a HEIC picture', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1')],
    ['a BMP picture', Buffer.concat([Buffer.from('BM'), Buffer.alloc(60)])],
  ])('%s', async (name, bytes) => {
    expect(await refusal(bytes)).toMatchObject({ code: 'image_unreadable', message: expect.stringContaining(name) });
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello')],
    ['zeros', Buffer.alloc(1000)],
    ['a bare signature', drawn.png.subarray(0, 8)],
    ['RIFF of another kind', Buffer.from('RIFF\0\0\0\0WAVEfmt ')],
    ['a ZIP', Buffer.from('PK\x03\x04…')],
  ])('%s', async (_name, bytes) => {
    expect((await refusal(bytes)).code).toBe('image_unreadable');
  });

  test('damaged bytes of any kind never do worse than image_unreadable', async () => {
    let state = 42;
    const random = (below: number): number => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * below);
    };
    for (let round = 0; round < 3000; round++) {
      const [, original] = all[round % all.length] as [string, Buffer];
      const bytes = Buffer.from(original.subarray(0, 12 + random(original.length)));
      for (let hit = 0; hit < 6; hit++) bytes[random(Math.min(bytes.length, 200))] = random(256);
      const facts = await inspectPicture(bytes).catch((error: unknown) => error);
      if (facts instanceof Error) expect(facts).toMatchObject({ code: 'image_unreadable' });
    }
  });
});

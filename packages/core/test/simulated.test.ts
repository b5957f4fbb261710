import { createSimulated } from '@fana/core/providers/simulated/create.ts';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { chatRequest, failure, imageRequest, never, redPng } from './provider-requests.ts';

describe('the simulated provider', () => {
  const { chat, image } = createSimulated();
  if (!chat || !image) throw new Error('the simulated provider cannot do everything');

  it('streams the same marked answer to the same message', async () => {
    const deltas: string[] = [];
    const first = await chat(chatRequest(), { signal: never, onDelta: (text) => deltas.push(text) });
    expect(first.text).toContain('simulated');
    expect(first.text).toContain('what is the capital of Peru?');
    expect(deltas.join('')).toBe(first.text);
    expect(await chat(chatRequest(), { signal: never })).toEqual(first);
  });

  it('ends an answer at max_tokens', async () => {
    const result = await chat(chatRequest({ parameters: { max_tokens: 5 } }), { signal: never });
    expect(result.finishReason).toBe('length');
    expect(result.usage.outputTokens).toBeLessThanOrEqual(5);
  });

  it('says what it sees of the actual picture', async () => {
    const content = [
      { type: 'text' as const, text: 'what is this?' },
      { type: 'image' as const, picture: { bytes: await redPng(), mediaType: 'image/png' } },
    ];
    const { text } = await chat({ model: 'simulated-vision', messages: [{ role: 'user', content }], parameters: {} }, { signal: never });
    expect(text).toContain('PNG of 64 × 48 pixels');
    expect(text).toContain('red');
  });

  it.each([
    [{}, 'png', 1024, 1024],
    [{ size: '320x200', output_format: 'jpeg' }, 'jpeg', 320, 200],
    [{ size: '16x16', output_format: 'webp' }, 'webp', 16, 16],
  ])('draws %o as a %s of %i × %i', async (parameters, format, width, height) => {
    const { images } = await image(imageRequest({ parameters }), { signal: never });
    expect(await sharp(images[0]?.bytes).metadata()).toMatchObject({ format, width, height });
  });

  it('draws different pictures for one prompt, and the same ones again', async () => {
    const request = imageRequest({ parameters: { n: 2, size: '64x64' } });
    const { images } = await image(request, { signal: never });
    expect(images).toHaveLength(2);
    expect(images[0]?.bytes).not.toEqual(images[1]?.bytes);
    expect((await image(request, { signal: never })).images).toEqual(images);
  });

  it('edits on the picture it is given', async () => {
    const pictures = [{ bytes: await redPng(), mediaType: 'image/png' }];
    const { images } = await image(imageRequest({ prompt: '', pictures }), { signal: never });
    const { dominant } = await sharp(images[0]?.bytes).extract({ left: 0, top: 0, width: 64, height: 30 }).stats();
    expect(dominant.r).toBeGreaterThan(dominant.b);
    expect(await sharp(images[0]?.bytes).metadata()).toMatchObject({ width: 64, height: 48 });
  });

  it('stops when it is aborted', async () => {
    expect(await failure(chat(chatRequest(), { signal: AbortSignal.abort() }))).toMatchObject({ code: 'cancelled', provider: { outcome: 'not_sent' } });
    expect(await failure(image(imageRequest(), { signal: AbortSignal.abort() }))).toMatchObject({ code: 'cancelled' });
  });
});

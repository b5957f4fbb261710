import { createHash } from 'node:crypto';
import sharp, { type OverlayOptions, type Sharp } from 'sharp';
import { AppError } from '../../errors.ts';
import type { CallOptions, ImageRequest, ImageResult, MadePicture, PictureBytes } from '../provider.ts';
import { throwIfStopped } from './stop.ts';
import { renderText } from './text.ts';

type Size = { width: number; height: number };

const DEFAULT_SIZE: Size = { width: 1024, height: 1024 };
const LEAST_SIDE = 16;
/** 3840 × 2160, as large as real models go. */
const MOST_PIXELS = 8_294_400;

const parseSize = (size: unknown): Size | undefined => {
  if (typeof size !== 'string' || size === 'auto') return undefined;
  const [width = 0, height = 0] = size.split('x').map(Number);
  if (!(width >= LEAST_SIDE && height >= LEAST_SIDE) || width * height > MOST_PIXELS) {
    throw new AppError('unsupported_parameter', `A simulated picture cannot be ${size}.`, { param: 'parameters.size' });
  }
  return { width, height };
};

/** Colours and places that depend on the prompt and the number of the picture alone. */
const ground = ({ width, height }: Size, prompt: string, at: number): Buffer => {
  const seed = createHash('sha256').update(`${prompt}\n${at}`).digest();
  const byte = (index: number): number => seed[index % seed.length] ?? 0;
  const hue = (byte(0) * 360) / 256;
  const circle = (index: number): string => {
    const [x, y, r] = [byte(index), byte(index + 1), byte(index + 2)].map((value) => value / 255) as [number, number, number];
    const colour = `hsl(${(hue + byte(index + 3)) % 360},60%,60%)`;
    return `<circle cx="${(x * width).toFixed(0)}" cy="${(y * height).toFixed(0)}" r="${((0.1 + r * 0.25) * Math.min(width, height)).toFixed(0)}" fill="${colour}" fill-opacity="0.5"/>`;
  };
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><rect width="100%" height="100%" fill="hsl(${hue.toFixed(0)},45%,30%)"/>${[1, 5, 9, 13, 17].map(circle).join('')}</svg>`,
  );
};

/** Half-transparent black, so that words can be read on any picture. */
const shade = (width: number, height: number, alpha: number): OverlayOptions['input'] => ({
  create: { width, height, channels: 4, background: { r: 0, g: 0, b: 0, alpha } },
});

/** The mark at the foot and the prompt in the middle. */
const lettering = async ({ width, height }: Size, prompt: string): Promise<OverlayOptions[]> => {
  const margin = Math.max(2, Math.round(Math.min(width, height) / 24));
  const bar = Math.max(8, Math.round(height / 14));
  const words = await renderText(prompt, {
    width: width - 2 * margin,
    height: height - bar - 2 * margin,
    sizePx: Math.max(8, Math.round(Math.min(width, height) / 16)),
  });
  const mark = await renderText('SIMULATED – no provider key is set', { width: width - 2 * margin, height: bar, sizePx: Math.max(6, Math.round(bar / 2.2)) });
  const layers: OverlayOptions[] = [];
  if (words) {
    const top = Math.round((height - bar - words.height) / 2);
    const left = Math.round((width - words.width) / 2);
    layers.push(
      { input: shade(width, Math.min(height - bar, words.height + 2 * margin), 0.45), left: 0, top: Math.max(0, top - margin) },
      { input: words.png, left, top },
    );
  }
  layers.push({ input: shade(width, bar, 0.75), left: 0, top: height - bar });
  if (mark) layers.push({ input: mark.png, left: Math.round((width - mark.width) / 2), top: height - bar + Math.round((bar - mark.height) / 2) });
  return layers;
};

const encode = (picture: Sharp, { output_format: format, output_compression: quality }: Record<string, unknown>): Sharp => {
  const options = typeof quality === 'number' ? { quality: Math.max(1, quality) } : {};
  if (format === 'jpeg') return picture.jpeg(options);
  if (format === 'webp') return picture.webp(options);
  return picture.png({ compressionLevel: 3 });
};

const sizeOf = async ({ bytes }: PictureBytes): Promise<Size> => {
  const { width, height } = (await sharp(bytes).metadata()).autoOrient;
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  return { width: Math.max(LEAST_SIDE, Math.floor(width * shrink)), height: Math.max(LEAST_SIDE, Math.floor(height * shrink)) };
};

/** A thin layer of colours; with a mask, only where that is transparent. */
const tintOf = async (size: Size, colours: Buffer, mask: PictureBytes | undefined): Promise<Buffer> => {
  const layer = sharp(colours).removeAlpha();
  if (!mask) return layer.ensureAlpha(0.25).png({ compressionLevel: 1 }).toBuffer();
  const closed = await sharp(mask.bytes)
    .ensureAlpha()
    .resize({ ...size, fit: 'cover' })
    .extractChannel('alpha')
    .png()
    .toBuffer();
  // Steps of their own: within one, sharp works in an order of its own, whatever the order of the calls.
  const open = await sharp(closed).linear(-0.25, 63.75).toBuffer();
  const base = await layer.png({ compressionLevel: 1 }).toBuffer();
  return sharp(base).joinChannel(open).png({ compressionLevel: 1 }).toBuffer();
};

const draw = async (request: ImageRequest, at: number): Promise<MadePicture> => {
  const { prompt, pictures, mask, parameters } = request;
  const [first] = pictures;
  const size = parseSize(parameters['size']) ?? (first ? await sizeOf(first) : DEFAULT_SIZE);
  const base = first
    ? sharp(first.bytes)
        .autoOrient()
        .resize({ ...size, fit: 'cover' })
    : sharp(ground(size, prompt, at));
  // Colours are laid over an edited picture too, so that each of `n` edits is a picture of its own.
  const tint: OverlayOptions[] = first ? [{ input: await tintOf(size, ground(size, prompt, at), mask) }] : [];
  const bytes = await encode(base.composite([...tint, ...(await lettering(size, prompt))]), parameters).toBuffer();
  return { bytes };
};

/** Draws `n` real pictures of the asked size with the prompt on them, marked as simulated; with pictures given, on the first of them. */
export const simulatedImage = async (request: ImageRequest, { signal }: CallOptions): Promise<ImageResult> => {
  const n = typeof request.parameters['n'] === 'number' ? request.parameters['n'] : 1;
  const images: MadePicture[] = [];
  for (let at = 0; at < n; at++) {
    throwIfStopped(signal);
    images.push(await draw(request, at));
  }
  throwIfStopped(signal);
  return { images, usage: { images: images.length }, model: request.model };
};

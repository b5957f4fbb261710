import { AppError } from '../errors.ts';
import { type PictureType, pictureType, readPictureHeader } from './picture-header.ts';

/** Enough for any model's input, little enough for any decoder: 40 million pixels. */
const MAX_PIXELS = 40_000_000;

export type PictureFacts = { mediaType: PictureType; width: number; height: number };

/** What people take for a picture and no provider reads: named, so that the message helps. */
const OTHERS: [RegExp, string][] = [
  [/^\s*(?:<\?xml[^>]*>\s*|<!--[\s\S]*?-->\s*|<!doctype svg[^>]*>\s*)*<svg[\s>]/i, 'an SVG drawing'],
  [/^\s*(?:<!doctype html|<html|<head|<body)/i, 'a web page'],
  [/^%PDF-/, 'a PDF document'],
  [/^(?:II\*\0|MM\0\*|II\+\0|MM\0\+)/, 'a TIFF picture'],
  [/^[\s\S]{4}ftypavi[fs]/, 'an AVIF picture'],
  [/^[\s\S]{4}ftyp(?:hei|hev|mif1|msf1)/, 'a HEIC picture'],
  [/^BM[\s\S]{24}/, 'a BMP picture'],
];

const unreadable = (message: string): AppError => new AppError('image_unreadable', message);

const refusal = (bytes: Buffer): AppError => {
  if (bytes.length === 0) return unreadable('The picture is empty.');
  const start = bytes.toString('latin1', 0, 1024);
  const name = OTHERS.find(([pattern]) => pattern.test(start))?.[1];
  return unreadable(name ? `This is ${name}; pictures must be PNG, JPEG, WebP or GIF.` : 'The bytes are no picture: it must be PNG, JPEG, WebP or GIF.');
};

/** The type of a picture by the first 1024 bytes of it, or all if there are fewer. @throws AppError `image_unreadable` for what is none. */
export const pictureTypeOf = (start: Buffer): PictureType => {
  const mediaType = pictureType(start);
  if (!mediaType) throw refusal(start);
  return mediaType;
};

/**
 * What a picture is by its own bytes: type, and size from its header (nothing is decoded, so no bomb goes off).
 * @throws AppError `image_unreadable` for another type, damaged or cut bytes, no pixels, or more than 40 million.
 */
export const inspectPicture = async (bytes: Buffer): Promise<PictureFacts> => {
  const mediaType = pictureTypeOf(bytes);
  const header = readPictureHeader(mediaType, bytes);
  if (!header || header.width === 0 || header.height === 0) throw unreadable('The picture is damaged: its header cannot be read.');
  const { width, height, complete } = header;
  if (width * height > MAX_PIXELS) throw unreadable(`The picture is too large: ${width} × ${height} pixels, at most ${MAX_PIXELS / 1e6} million are read.`);
  if (!complete) throw unreadable('The picture is cut off: its end is missing.');
  return { mediaType, width, height };
};

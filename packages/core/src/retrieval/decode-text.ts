import { isUtf8 } from 'node:buffer';
import { AppError } from '../errors.ts';

const unreadable = (message: string): AppError => new AppError('document_unreadable', message);

/** First bytes of what is no text, with its name. */
const BINARY: [magic: number[], name: string][] = [
  [[0x50, 0x4b, 0x03, 0x04], 'a ZIP archive (an office document is one, too)'],
  [[0xd0, 0xcf, 0x11, 0xe0], 'an office document of an old format'],
  [[0x89, 0x50, 0x4e, 0x47], 'a picture'],
  [[0xff, 0xd8, 0xff], 'a picture'],
  [[0x47, 0x49, 0x46, 0x38], 'a picture'],
  [[0x1f, 0x8b], 'a compressed file (gzip)'],
  [[0x7f, 0x45, 0x4c, 0x46], 'a program'],
  [[0x4d, 0x5a, 0x90], 'a program'],
  [[0x52, 0x49, 0x46, 0x46], 'a sound, film or picture'],
];

const startsWith = (bytes: Uint8Array, magic: number[]): boolean => magic.every((byte, at) => bytes[at] === byte);

/** The encoding that the first bytes give away: a byte order mark, or the zeros that UTF-16 has in Latin text. */
const encodingOf = (bytes: Uint8Array): string | undefined => {
  if (startsWith(bytes, [0xef, 0xbb, 0xbf])) return 'utf-8';
  if (startsWith(bytes, [0xff, 0xfe])) return 'utf-16le';
  if (startsWith(bytes, [0xfe, 0xff])) return 'utf-16be';
  const sample = bytes.subarray(0, 400);
  const zeros = [0, 0];
  for (const [at, byte] of sample.entries()) if (byte === 0) zeros[at % 2] = (zeros[at % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  if (odd > sample.length / 4 && even === 0) return 'utf-16le';
  if (even > sample.length / 4 && odd === 0) return 'utf-16be';
  return undefined;
};

const decodeAs = (bytes: Uint8Array, encoding: string): string => {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (error) {
    const name = encoding.slice(0, 40);
    if (error instanceof RangeError) throw unreadable(`The document says it is written in ${name}, an encoding that is not known here.`);
    throw unreadable(`The document is not valid ${name} text.`);
  }
};

/** `charset` of a Content-Type, or of the head of an HTML page. */
const saidCharset = (bytes: Uint8Array, mediaType: string): string | undefined => {
  const inType = /;\s*charset\s*=\s*"?([\w.:-]+)/i.exec(mediaType)?.[1];
  if (inType !== undefined) return inType;
  return /<meta[^>]{0,200}charset\s*=\s*["']?([\w.:-]+)/i.exec(Buffer.from(bytes.subarray(0, 2048)).toString('latin1'))?.[1];
};

/**
 * The text of a document that is one: UTF-8, UTF-16, or in the encoding it says of itself. Nothing is guessed from letters: text that is
 * shown wrong is worse than an error. @throws AppError `document_unreadable` saying why.
 */
export const decodeText = (bytes: Uint8Array, mediaType: string): string => {
  if (bytes.length === 0) throw unreadable('The document is empty.');
  const binary = BINARY.find(([magic]) => startsWith(bytes, magic));
  if (binary) throw unreadable(`The document is ${binary[1]}, not text. Text, Markdown, HTML and PDF are read.`);
  const told = encodingOf(bytes);
  const text = told !== undefined ? decodeAs(bytes, told) : isUtf8(bytes) ? Buffer.from(bytes).toString() : decodeAs(bytes, charsetOrRefuse(bytes, mediaType));
  if (text.includes('\0')) throw unreadable('The document is binary, not text. Text, Markdown, HTML and PDF are read.');
  if (text.trim() === '') throw unreadable('The document holds no text.');
  return text;
};

const charsetOrRefuse = (bytes: Uint8Array, mediaType: string): string => {
  const said = saidCharset(bytes, mediaType);
  if (said !== undefined && !/^utf-?8$/i.test(said)) return said;
  throw unreadable('The document is not UTF-8 text, and says no other encoding (charset of its media type, or a byte order mark).');
};

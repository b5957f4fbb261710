import { crc32 } from 'node:zlib';

export type PictureType = 'image/png' | 'image/jpeg' | 'image/webp' | 'image/gif';
/** `complete` is false when the bytes stop before the picture does. */
export type PictureHeader = { width: number; height: number; complete: boolean };

const ascii = (bytes: Buffer, start: number, end: number): string => bytes.toString('latin1', start, end);

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** The kind of picture by its magic bytes, never by what somebody calls it. */
export const pictureType = (bytes: Buffer): PictureType | undefined => {
  if (bytes.subarray(0, 8).equals(PNG_SIGNATURE)) return 'image/png';
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'image/jpeg';
  if (ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 12) === 'WEBP') return 'image/webp';
  if (/^GIF8[79]a/.test(ascii(bytes, 0, 6))) return 'image/gif';
  return undefined;
};

/** PNG (W3C, third edition): a chain of length, type, data, CRC from IHDR to IEND (every one is checked, so cut and altered files are found without decoding). */
const readPng = (bytes: Buffer): PictureHeader | undefined => {
  if (bytes.length < 33 || ascii(bytes, 12, 16) !== 'IHDR' || bytes.readUInt32BE(8) !== 13) return undefined;
  const size = { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
  let hasData = false;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    const type = ascii(bytes, at + 4, at + 8);
    // Decoders forgive damage in chunks with a small first letter: they hold no pixels.
    const isCritical = /^[A-Z]/.test(type);
    if (isCritical && crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) return undefined;
    if (type === 'IDAT') hasData = true;
    if (type === 'IEND') return { ...size, complete: hasData };
    at = end;
  }
  return { ...size, complete: false };
};

/** Start-of-frame markers (ITU T.81 B.1.1.3): C0 to CF without DHT, JPG and DAC. */
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

/** JPEG (ITU T.81): segments up to the frame, which has the size; complete when an end marker follows the scan. */
const readJpeg = (bytes: Buffer): PictureHeader | undefined => {
  for (let at = 2; at + 9 < bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (isFrame(marker)) {
      return { height: bytes.readUInt16BE(at + 5), width: bytes.readUInt16BE(at + 7), complete: bytes.lastIndexOf(Buffer.from([0xff, 0xd9])) > at };
    }
    // A scan or the end before the frame: nothing that a decoder could use.
    if (marker === 0xda || marker === 0xd9) return undefined;
    const length = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7) ? 0 : bytes.readUInt16BE(at + 2);
    at += 2 + length;
  }
  return undefined;
};

/** WebP (RFC 9649): VP8 (lossy), VP8L (lossless) or VP8X (extended), each with the size at its own place. */
const readWebp = (bytes: Buffer): PictureHeader | undefined => {
  if (bytes.length < 30) return undefined;
  const complete = bytes.length >= bytes.readUInt32LE(4) + 8;
  const chunk = ascii(bytes, 12, 16);
  if (chunk === 'VP8X') return { width: 1 + bytes.readUIntLE(24, 3), height: 1 + bytes.readUIntLE(27, 3), complete };
  if (chunk === 'VP8L' && bytes[20] === 0x2f) {
    const bits = bytes.readUInt32LE(21);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff), complete };
  }
  if (chunk === 'VP8 ' && ascii(bytes, 23, 26) === '\x9d\x01\x2a') {
    return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff, complete };
  }
  return undefined;
};

/** Behind a chain of GIF sub-blocks (length, bytes, …, 0) that begins at `start`; past the end when it is cut. */
const skipBlocks = (bytes: Buffer, start: number): number => {
  let at = start;
  while (at < bytes.length && bytes[at] !== 0) at += 1 + (bytes[at] ?? 0);
  return at + 1;
};

/** The bytes of a GIF colour table, as the flags before it say. */
const colourTable = (flags = 0): number => ((flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1));

/** GIF (89a): the size is that of the screen; then images and extensions up to the trailer. */
const readGif = (bytes: Buffer): PictureHeader | undefined => {
  if (bytes.length < 14) return undefined;
  const size = { width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
  let hasImage = false;
  let at = 13 + colourTable(bytes[10]);
  while (at < bytes.length) {
    const kind = bytes[at];
    if (kind === 0x3b) return { ...size, complete: hasImage };
    if (kind === 0x21) at = skipBlocks(bytes, at + 2);
    else if (kind === 0x2c) {
      hasImage = true;
      at = skipBlocks(bytes, at + 11 + colourTable(bytes[at + 9]));
    } else return undefined;
  }
  return { ...size, complete: false };
};

const READERS = { 'image/png': readPng, 'image/jpeg': readJpeg, 'image/webp': readWebp, 'image/gif': readGif } as const satisfies Record<
  PictureType,
  (bytes: Buffer) => PictureHeader | undefined
>;

/** Size and completeness from the headers alone: no pixel is decoded. Undefined when the bytes are damaged. */
export const readPictureHeader = (type: PictureType, bytes: Buffer): PictureHeader | undefined => READERS[type](bytes);

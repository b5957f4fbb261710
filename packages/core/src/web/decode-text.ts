import { detect } from 'chardet';
import sniffHtmlEncoding from 'html-encoding-sniffer';

/** What is known of the encoding besides the bytes. */
export type DecodeHint = {
  /** From the Content-Type. */
  charset?: string | undefined;
  /** Look for `<meta charset>` too. */
  isHtml: boolean;
};

/** How much of a text the guess looks at. */
const GUESS_BYTES = 65_536;
/** Of a text that fits no encoding: above this share of unreadable characters it is none. */
const MAX_DAMAGE = 0.02;

const decoderOf = (label: string, fatal: boolean): InstanceType<typeof TextDecoder> | undefined => {
  try {
    return new TextDecoder(label, { fatal });
  } catch {
    return undefined; // An unknown label: as if none was given.
  }
};

/** The text if the bytes are valid in this encoding; a character cut off at the end is left out. */
const decodeStrictly = (bytes: Buffer, label: string): string | undefined => {
  try {
    return decoderOf(label, true)?.decode(bytes, { stream: true });
  } catch {
    return undefined;
  }
};

const isSingleByte = (label: string): boolean =>
  /^(?:windows-125\d|iso-8859-\d+|koi8-[ru]|macintosh|ibm866|windows-874|x-mac-cyrillic|x-user-defined)$/.test(label);
const hasMark = (bytes: Buffer): boolean =>
  (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) || (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
const isAscii = (bytes: Buffer): boolean => bytes.every((byte) => byte < 0x80);

/** The encodings the document itself names: by its mark, its header, its `<meta>`. */
const namedEncodings = (bytes: Buffer, { charset, isHtml }: DecodeHint): string[] => {
  const byHeader = charset === undefined ? undefined : decoderOf(charset, false)?.encoding;
  const sniffed = isHtml || hasMark(bytes) ? sniffHtmlEncoding(bytes, { defaultEncoding: 'x-user-defined' }).toLowerCase() : 'x-user-defined';
  const byMarkup = sniffed === 'x-user-defined' ? undefined : sniffed;
  return (hasMark(bytes) ? [byMarkup, byHeader] : [byHeader, byMarkup]).filter((label) => label !== undefined);
};

/**
 * Decodes a text of unknown encoding: byte order mark, header, `<meta>`, UTF-8, then a guess by frequency. What a document says of itself is
 * believed as far as its bytes bear it out: a single-byte encoding fits everything, so valid UTF-8 beats it. `isDamaged`: it fits none.
 */
export const decodeText = (bytes: Buffer, hint: DecodeHint): { text: string; encoding: string; isDamaged: boolean } => {
  const named = namedEncodings(bytes, hint);
  const utf8 = isAscii(bytes) ? undefined : decodeStrictly(bytes, 'utf-8');
  const tried = hasMark(bytes) ? named : named.map((label) => (utf8 !== undefined && isSingleByte(label) ? 'utf-8' : label));
  const guess = (): string[] => {
    const guessed = detect(bytes.subarray(0, GUESS_BYTES))?.toLowerCase();
    return guessed === undefined ? [] : [guessed];
  };
  for (const label of [...tried, 'utf-8']) {
    const text = decodeStrictly(bytes, label);
    if (text !== undefined) return { text, encoding: label, isDamaged: false };
  }
  for (const label of guess()) {
    const text = decodeStrictly(bytes, label);
    if (text !== undefined) return { text, encoding: label, isDamaged: false };
  }
  const encoding = [...tried, 'utf-8'].find((label) => decoderOf(label, false)) ?? 'utf-8';
  const text = new TextDecoder(encoding).decode(bytes);
  return { text, encoding, isDamaged: (text.match(/\ufffd/g)?.length ?? 0) > text.length * MAX_DAMAGE };
};

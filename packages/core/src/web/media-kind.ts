import { type Unreadable, unreadable } from './unreadable.ts';

/** What can be read as text. */
export type ReadableKind = 'html' | 'text' | 'pdf';

const HTML_TYPES = /^(?:text\/html|application\/xhtml\+xml)$/;
const TEXT_TYPES =
  /^(?:text\/(?!rtf$).+|application\/(?:json|xml|yaml|x-yaml|toml|x-ndjson|jsonl|javascript|x-javascript|ecmascript|sql|x-sh)|[\w.-]+\/[\w.-]+\+(?:json|xml|yaml))$/;
const PDF_TYPES = /^application\/(?:x-)?pdf$/;
/** Says nothing: the bytes decide. */
const ANY_TYPES = /^(?:|application\/(?:octet-stream|force-download|x-download|binary)|binary\/octet-stream|unknown\/unknown)$/;

const NAMES = {
  is_video: 'It is a video: its text cannot be read.',
  is_audio: 'It is a sound recording: its text cannot be read.',
  is_image: 'It is a picture, not a page.',
  is_binary: 'It is a file of a kind that is not read: only HTML, plain text, Markdown, JSON, XML and PDF are.',
} as const satisfies Partial<Record<Unreadable, string>>;

const refuse = (reason: keyof typeof NAMES): never => {
  throw unreadable(reason, NAMES[reason]);
};

/** The type without its parameters, lower-case; empty if there is none. */
const bareType = (contentType: string | undefined): string => (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** The charset a Content-Type names. */
export const charsetOf = (contentType: string | undefined): string | undefined => /;\s*charset\s*=\s*"?\s*([^\s";]+)/i.exec(contentType ?? '')?.[1];

/**
 * What a Content-Type promises: undefined when it says nothing.
 * @throws AppError `document_unreadable` for what is no text: before a byte of it is read.
 */
export const promisedKind = (contentType: string | undefined): ReadableKind | undefined => {
  const type = bareType(contentType);
  if (HTML_TYPES.test(type)) return 'html';
  if (PDF_TYPES.test(type)) return 'pdf';
  if (type.startsWith('image/')) return refuse('is_image');
  if (type.startsWith('video/') || type === 'application/vnd.apple.mpegurl' || type === 'application/dash+xml') return refuse('is_video');
  if (type.startsWith('audio/')) return refuse('is_audio');
  if (TEXT_TYPES.test(type)) return 'text';
  return ANY_TYPES.test(type) ? undefined : refuse('is_binary');
};

const PICTURES = /^(?:\x89PNG|\xff\xd8\xff|GIF8|RIFF[\s\S]{4}WEBP|BM[\s\S]{4}\0\0\0\0|II\*\0|MM\0\*)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: bytes, not text
const VIDEOS = /^(?:[\s\S]{4}ftyp(?!M4A)|\x1aE\xdf\xa3|RIFF[\s\S]{4}AVI |FLV\x01|\0\0\x01[\xba\xb3])/;
const SOUNDS = /^(?:ID3|\xff[\xfb\xf3\xf2]|OggS|fLaC|RIFF[\s\S]{4}WAVE|[\s\S]{4}ftypM4A)/;
/** Behind white space and comments, as browsers look for it; far enough in for long comments. */
const MARKUP = /<(?:!doctype\s+html|html|head|body|article|main|section|div|table|h[1-6]|p|title|meta|script|style)[\s>/]/i;

const HEAD_BYTES = 1024;

/** UTF-16 and UTF-32 are full of zeros and begin with a mark. */
const hasWideMark = (bytes: Buffer): boolean => (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);

/**
 * What the bytes are, whatever they were called: a PDF sent as HTML is a PDF.
 * @throws AppError `document_unreadable` for what is no text.
 */
export const kindOf = (bytes: Buffer, promised: ReadableKind | undefined): ReadableKind => {
  const head = bytes.subarray(0, HEAD_BYTES);
  const start = head.toString('latin1');
  if (start.includes('%PDF-')) return 'pdf';
  // Promised as PDF and none: the reader of PDFs says what is wrong with it.
  if (promised === 'pdf') return 'pdf';
  if (PICTURES.test(start)) return refuse('is_image');
  if (VIDEOS.test(start)) return refuse('is_video');
  if (SOUNDS.test(start)) return refuse('is_audio');
  if (!hasWideMark(bytes) && head.includes(0) && promised !== 'html') return refuse('is_binary');
  return promised ?? (MARKUP.test(start) ? 'html' : 'text');
};

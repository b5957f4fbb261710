import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { AppError } from '../errors.ts';

export type BodyLimits = {
  /** Counted after decompression. The compressed bytes are limited too: a stream that unpacks to nothing ends as well. */
  maxBytes: number;
  /** Return what came within `maxBytes` instead of failing. */
  truncate: boolean;
};

export type ReplyBody = { body: Buffer; truncated: boolean };

const DECODERS = { gzip: createGunzip, 'x-gzip': createGunzip, br: createBrotliDecompress, deflate: createInflate };
const isKnown = (coding: string): coding is keyof typeof DECODERS => Object.hasOwn(DECODERS, coding);
/** What packing may add to bytes that cannot be packed. */
const PACKING_BYTES = 65_536;

/** The failure of a reply over its limit. */
export const tooLarge = (maxBytes: number): AppError =>
  new AppError('fetch_failed', `The reply is too large: at most ${maxBytes} bytes are read.`, { reason: 'too_large' });
const unreadable = (cause?: unknown): AppError =>
  new AppError('fetch_failed', 'The reply is compressed in a way that cannot be read.', { reason: 'broken', cause });

/** Ends early, without an error, behind `limit`: so that the decoder still gives what it has. */
async function* upTo(limit: number, packed: { bytes: number }, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    packed.bytes += chunk.length;
    yield chunk;
    if (packed.bytes > limit) return;
  }
}

const isZlibError = (thrown: unknown): boolean => thrown instanceof Error && 'code' in thrown && /^(?:Z_|ERR_|BROTLI)/.test(String(thrown.code));

/** Reads to the end, or to the first byte over the limit. */
const readUpTo = async (source: AsyncIterable<Buffer>, maxBytes: number): Promise<ReplyBody> => {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxBytes) return { body: Buffer.concat(chunks).subarray(0, maxBytes), truncated: true };
  }
  return { body: Buffer.concat(chunks), truncated: false };
};

/** As `readUpTo`, unpacking on the way. Damage behind what was read is no damage for a reader who takes what came. */
const readPacked = async (source: Readable, coding: keyof typeof DECODERS, { maxBytes, truncate }: BodyLimits): Promise<ReplyBody> => {
  const packed = { bytes: 0 };
  const limit = maxBytes + PACKING_BYTES;
  const came: Buffer[] = [];
  async function* noted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      came.push(chunk);
      yield chunk;
    }
  }
  // Failures of the source reach the reader through the decoder, which `pipeline` destroys with them.
  const decoder = pipeline(
    source,
    (chunks: AsyncIterable<Buffer>) => upTo(limit, packed, chunks),
    DECODERS[coding](),
    () => undefined,
  );
  try {
    const reply = await readUpTo(noted(decoder), maxBytes);
    return packed.bytes > limit ? { ...reply, truncated: true } : reply;
  } catch (thrown) {
    if (!isZlibError(thrown)) throw thrown;
    if (packed.bytes === 0) return { body: Buffer.alloc(0), truncated: false };
    if (truncate) return { body: Buffer.concat(came).subarray(0, maxBytes), truncated: true };
    throw packed.bytes > limit ? tooLarge(maxBytes) : unreadable(thrown);
  }
};

/**
 * Reads a reply up to its limit and no further: the caller closes the connection. `coding` is its content-encoding, lower-case.
 * @throws AppError `fetch_failed` when it is larger (unless `truncate`) or cannot be unpacked; what the connection throws, as it is.
 */
export const readBody = async (source: Readable, coding: string, limits: BodyLimits): Promise<ReplyBody> => {
  const plain = coding === '' || coding === 'identity';
  // Two codings on top of each other are seen in attacks only.
  if (!plain && !isKnown(coding)) {
    if (limits.truncate) return { body: Buffer.alloc(0), truncated: true };
    throw unreadable();
  }
  const reply = isKnown(coding) ? await readPacked(source, coding, limits) : await readUpTo(source, limits.maxBytes);
  if (reply.truncated && !limits.truncate) throw tooLarge(limits.maxBytes);
  return reply;
};

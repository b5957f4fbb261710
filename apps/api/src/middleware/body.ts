import { isUtf8 } from 'node:buffer';
import { AppError } from '@fana/core/errors.ts';
import { MAX_NESTING, tooDeepField } from '@fana/core/nesting.ts';
import type { Context } from 'hono';
import { jsonProblem } from './json-text.ts';

/** `raw` is the text the idempotency fingerprint is taken of; `body` is a JSON object. */
export type JsonBody = { raw: string; body: Record<string, unknown> };

const BODY = { param: 'body' };
const tooLarge = (maxBytes: number): AppError => new AppError('payload_too_large', `The body is too large: at most ${maxBytes} bytes are read here.`, BODY);
const notJson = (problem: string): AppError => new AppError('invalid_json', `The body is not valid JSON: ${problem}.`, BODY);

/** Counts while it reads: of a body without a length no more than the limit and one chunk is ever held. */
const readCounted = async (stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Buffer> => {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks, length);
    length += value.byteLength;
    if (length > maxBytes) {
      // The answer is given now; that the rest cannot be cancelled any more changes nothing about it.
      reader.cancel().catch(() => undefined);
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
};

/** A declared length is enforced by the HTTP parser, so such a body is read in one go; it is measured all the same. */
const readBytes = async (c: Context, maxBytes: number): Promise<Buffer> => {
  const declared = c.req.header('content-length');
  if (declared !== undefined && Number(declared) > maxBytes) throw tooLarge(maxBytes);
  try {
    if (declared !== undefined) {
      const bytes = Buffer.from(await c.req.raw.arrayBuffer());
      if (bytes.length > maxBytes) throw tooLarge(maxBytes);
      return bytes;
    }
    const stream = c.req.raw.body;
    return stream === null ? Buffer.alloc(0) : await readCounted(stream, maxBytes);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('invalid_request', 'The body could not be read to its end.', { ...BODY, cause: error });
  }
};

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The cause is left out: its message quotes the body.
    throw notJson(jsonProblem(error));
  }
};

/** As `readJson`, for a body that may be left out: none at all is an empty object. */
export const readOptionalJson = async (c: Context, maxBytes: number): Promise<JsonBody> => readObject(c, maxBytes, '{}');

/**
 * Reads a JSON object of at most `maxBytes` bytes. Every AppError has `param` (`body`, or the field that is nested too deep).
 * @throws AppError `payload_too_large`, `unsupported_media_type` (a compressed body), `invalid_json` (not UTF-8, not JSON),
 *   `invalid_request` (empty, cut off, no object, nested deeper than 64).
 */
export const readJson = async (c: Context, maxBytes: number): Promise<JsonBody> => readObject(c, maxBytes, '');

const readObject = async (c: Context, maxBytes: number, whenEmpty: string): Promise<JsonBody> => {
  const encoding = c.req.header('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new AppError('unsupported_media_type', 'Send the body uncompressed: Content-Encoding is not supported.', BODY);
  }
  const sent = await readBytes(c, maxBytes);
  const bytes = sent.length === 0 ? Buffer.from(whenEmpty) : sent;
  if (bytes.length === 0) throw new AppError('invalid_request', 'The body is empty: a JSON object is needed.', BODY);
  if (!isUtf8(bytes)) throw notJson('it is not UTF-8');
  // RFC 8259 8.1: a byte order mark may be ignored.
  const raw = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.toString('utf8', 3) : bytes.toString('utf8');
  const deep = tooDeepField(raw);
  if (deep !== undefined) throw new AppError('invalid_request', `${deep}: brackets may be nested ${MAX_NESTING} deep at most.`, { param: deep });
  const body = parse(raw);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new AppError('invalid_request', 'The body must be a JSON object.', BODY);
  }
  return { raw, body: body as Record<string, unknown> };
};

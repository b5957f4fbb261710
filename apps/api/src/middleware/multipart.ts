import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { AppError } from '@fana/core/errors.ts';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { Context } from 'hono';

/** One part of a form as it comes. The bytes of a file are read before the next part is asked for: only then does it come. */
export type FormPart =
  | { kind: 'field'; name: string; value: string }
  | { kind: 'file'; name: string; filename: string; mediaType: string; bytes: AsyncIterable<Uint8Array> };

export type FormLimits = { maxFileBytes: number; maxBodyBytes: number };

const MAX_FIELD_BYTES = 256 * 1024;
const MAX_FIELDS = 64;
const MAX_PARTS = 128;
const MAX_HEADER_BYTES = 16 * 1024;

const BODY = { param: 'body' };
const invalid = (message: string, param = 'body'): AppError => new AppError('invalid_request', message, { param });
const tooLarge = (what: string, maxBytes: number): AppError => new AppError('payload_too_large', `${what} is too large: at most ${maxBytes} bytes.`, BODY);

/**
 * The parts of a multipart body in the order in which they come, none of them held in memory: the sender waits while nobody reads.
 * Leaving the loop early leaves the rest of the body unread; the answer can be given at once.
 * @throws AppError `unsupported_media_type`, `payload_too_large` (also by the declared length, before anything is read),
 *   `invalid_request` (malformed, cut off, too many or too long fields); every one has a `param`.
 */
export const formParts = async function* (c: Context, limits: FormLimits): AsyncGenerator<FormPart, void, void> {
  if (Number(c.req.header('content-length') ?? 0) > limits.maxBodyBytes) throw tooLarge('The body', limits.maxBodyBytes);
  const form = readForm(openParser(c), bodyOf(c), limits);
  try {
    for (;;) {
      const part = await form.next();
      if (part === undefined) return;
      yield part;
    }
  } finally {
    form.stop();
  }
};

/** The request's own stream where there is one: what is left of it can be read over after the answer. A web stream around it would pause it. */
const bodyOf = (c: Context): Readable => {
  const { incoming } = (c.env ?? {}) as { incoming?: IncomingMessage };
  if (incoming !== undefined) return incoming;
  return c.req.raw.body === null ? Readable.from([]) : Readable.fromWeb(c.req.raw.body as WebStream<Uint8Array>);
};

const openParser = (c: Context): BusboyInstance => {
  const encoding = c.req.header('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new AppError('unsupported_media_type', 'Send the body uncompressed: Content-Encoding is not supported.', BODY);
  }
  const contentType = c.req.header('content-type') ?? '';
  if (!/^multipart\/form-data\s*(;|$)/i.test(contentType)) {
    throw new AppError('unsupported_media_type', 'Send the body as multipart/form-data.', BODY);
  }
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      // One more than is taken, so that the one too many is noticed.
      limits: { fieldSize: MAX_FIELD_BYTES, fields: MAX_FIELDS + 1, parts: MAX_PARTS, headerSize: MAX_HEADER_BYTES, headerPairs: 100 },
    });
  } catch (cause) {
    throw new AppError('invalid_request', 'The Content-Type of a multipart body must name its boundary.', { ...BODY, cause });
  }
};

/** What the parser has found and nobody has taken yet, and how it ended. */
type Inbox = {
  add: (part: FormPart) => void;
  fail: (error: AppError) => void;
  end: () => void;
  failure: () => AppError | undefined;
  /** Waits for the next part; undefined at the end. @throws the failure. */
  next: () => Promise<FormPart | undefined>;
};

const createInbox = (): Inbox => {
  const parts: FormPart[] = [];
  let failure: AppError | undefined;
  let ended = false;
  let wake = (): void => undefined;
  return {
    add(part) {
      parts.push(part);
      wake();
    },
    fail(error) {
      failure ??= error;
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    failure: () => failure,
    async next() {
      while (parts.length === 0 && failure === undefined && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (failure) throw failure;
      return parts.shift();
    },
  };
};

type Form = { next: Inbox['next']; stop: () => void };

/** Feeds the body to the parser and queues what it finds; its backpressure is passed on to the sender. */
const readForm = (parser: BusboyInstance, body: Readable, { maxFileBytes, maxBodyBytes }: FormLimits): Form => {
  const inbox = createInbox();
  let file: Readable | undefined;
  const fail = (error: AppError): void => {
    inbox.fail(error);
    file?.destroy(error);
  };
  const add = (part: FormPart): void => {
    // The parser gives what the sender wrote, and a sender may write a part without a name.
    if (typeof part.name === 'string') inbox.add(part);
    else fail(invalid('A part of the body has no name.'));
  };
  const bytesOf = async function* (name: string, stream: Readable): AsyncGenerator<Uint8Array, void, void> {
    let count = 0;
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      count += chunk.byteLength;
      if (count > maxFileBytes) throw new AppError('payload_too_large', `${name}: the file is too large: at most ${maxFileBytes} bytes.`, { param: name });
      yield chunk;
    }
    // The parser ends the stream of a part that was cut off as it ends a whole one.
    const failure = inbox.failure();
    if (failure) throw failure;
  };
  parser.on('file', (name, stream, filename, _encoding, mediaType) => {
    file = stream;
    // Told by `fail`; an error that nobody listens to would end the process.
    stream.on('error', () => undefined);
    add({ kind: 'file', name, filename: filename ?? '', mediaType, bytes: bytesOf(name, stream) });
  });
  onFields(parser, { add, fail });
  parser.on('error', (cause) => fail(new AppError('invalid_request', 'The multipart body is malformed or cut off.', { ...BODY, cause })));
  parser.on('finish', inbox.end);
  const unhook = feed(parser, body, { maxBodyBytes, fail });
  const stop = (): void => {
    unhook();
    file?.destroy();
  };
  return { next: inbox.next, stop };
};

const onFields = (parser: BusboyInstance, { add, fail }: Pick<Inbox, 'add' | 'fail'>): void => {
  let fields = 0;
  parser.on('field', (name, value, _nameTruncated, truncated) => {
    if (truncated) fail(invalid(`${name}: is too long: at most ${MAX_FIELD_BYTES} bytes.`, name));
    else if (++fields > MAX_FIELDS) fail(invalid(`The body has too many fields: at most ${MAX_FIELDS}.`));
    else add({ kind: 'field', name, value });
  });
  parser.on('partsLimit', () => fail(invalid(`The body has too many parts: at most ${MAX_PARTS}.`)));
};

/** Passes the body on chunk by chunk. Returns what takes its hands off again, which leaves the body paused. */
const feed = (parser: BusboyInstance, body: Readable, { maxBodyBytes, fail }: { maxBodyBytes: number; fail: (error: AppError) => void }): (() => void) => {
  let count = 0;
  const onData = (chunk: Uint8Array): void => {
    count += chunk.byteLength;
    if (count > maxBodyBytes) fail(tooLarge('The body', maxBodyBytes));
    else if (!parser.write(chunk)) body.pause();
  };
  const onDrain = (): void => void body.resume();
  const onEnd = (): void => void parser.end();
  const onClose = (): void => {
    if (!body.readableEnded) fail(invalid('The body could not be read to its end.'));
  };
  // A body that breaks is closed, too.
  const onError = (): void => undefined;
  body.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onError);
  parser.on('drain', onDrain);
  return () => {
    body.pause();
    body.off('data', onData).off('end', onEnd).off('close', onClose);
    parser.off('drain', onDrain);
  };
};

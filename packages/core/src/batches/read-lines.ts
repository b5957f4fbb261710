import { isUtf8 } from 'node:buffer';
import { AppError } from '../errors.ts';
import { MAX_LINE_BYTES } from './batch.ts';

/**
 * One line that is not blank. `number` counts every line of the source from 1; `offset` and `end` are its bytes there, `end` behind its line
 * feed. When they are not UTF-8, some of `text` is not what was sent.
 */
export type SourceLine = { number: number; offset: number; end: number; text: string; isUtf8: boolean };

/** A line that is longer than a request may be; `line` counts from 1. */
export class LineTooLong extends AppError {
  readonly line: number;
  constructor(line: number) {
    super('payload_too_large', `Line ${line} is too long: at most ${MAX_LINE_BYTES} bytes.`, { param: 'line' });
    this.line = line;
  }
}

const LINE_FEED = 0x0a;
const BOM = '\ufeff';

/**
 * The lines of a JSONL source that are not blank, one at a time. Lines end with LF or CRLF; a byte order mark at the beginning is passed
 * over. Of the source no more than one line and one piece are held.
 * @throws LineTooLong for a line over 50 MB; what the source throws.
 */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<SourceLine> {
  let pieces: Buffer[] = [];
  let held = 0;
  let offset = 0;
  let number = 0;
  const take = (end: number): SourceLine | undefined => {
    number++;
    const bytes = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, held);
    const line = {
      number,
      offset,
      end,
      text: bytes
        .toString('utf8')
        .replace(number === 1 ? BOM : '', '')
        .trim(),
      isUtf8: isUtf8(bytes),
    };
    pieces = [];
    held = 0;
    offset = end;
    return line.text === '' ? undefined : line;
  };
  let read = 0;
  for await (const chunk of source) {
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let at = buffer.indexOf(LINE_FEED); at !== -1; at = buffer.indexOf(LINE_FEED, from)) {
      pieces.push(buffer.subarray(from, at));
      held += at - from;
      from = at + 1;
      const line = take(read + from);
      if (line) yield line;
    }
    if (from < buffer.length) {
      pieces.push(buffer.subarray(from));
      held += buffer.length - from;
    }
    read += buffer.length;
    if (held > MAX_LINE_BYTES) throw new LineTooLong(number + 1);
  }
  if (held > 0) {
    const line = take(read);
    if (line) yield line;
  }
}

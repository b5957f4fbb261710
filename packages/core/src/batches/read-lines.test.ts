import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { readLines, type SourceLine } from './read-lines.ts';

const read = async (pieces: Uint8Array[]): Promise<SourceLine[]> => {
  const lines: SourceLine[] = [];
  for await (const line of readLines(Readable.from(pieces, { objectMode: true }))) lines.push(line);
  return lines;
};

test('lines end with LF or CRLF, blank ones count but do not come, and the last needs no line feed', async () => {
  const source = Buffer.from('\ufeff{"a":1}\r\n\n  \n{"b":"é"}\n{"c":3}');
  expect((await read([source])).map(({ number, text }) => [number, text])).toEqual([
    [1, '{"a":1}'],
    [4, '{"b":"é"}'],
    [5, '{"c":3}'],
  ]);
});

test('offsets are bytes: from one to the other is the line again, wherever the pieces were cut', async () => {
  const source = Buffer.from('\ufeff{"a":"äöü"}\r\n\n{"b":"日本"}\n\n{"c":"🦊"}\n');
  const whole = await read([source]);
  for (let size = 1; size <= source.length; size++) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < source.length; at += size) pieces.push(source.subarray(at, at + size));
    expect(await read(pieces)).toEqual(whole);
  }
  for (const { offset, end, text } of whole) expect(source.subarray(offset, end).toString().replace('\ufeff', '').trim()).toContain(text);
});

test('an empty source has no lines', async () => {
  expect(await read([])).toEqual([]);
  expect(await read([Buffer.from('\ufeff')])).toEqual([]);
});

test('a line over 50 MB is refused while it is read', async () => {
  const piece = Buffer.alloc(1024 * 1024, 'x');
  await expect(read(Array.from({ length: 52 }, () => piece))).rejects.toMatchObject({ code: 'payload_too_large', line: 1 });
});

import { readBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { type BatchRecord, CHUNK_LINES } from './batch.ts';
import { readLines } from './read-lines.ts';

type LineDeps = Pick<Deps, 'redis' | 'blobs' | 'now'>;

/** Offsets of the batches this process worked on last: a few kB each. */
const MAX_REMEMBERED = 64;
const remembered = new Map<string, number[]>();

const offsetsOf = async (deps: LineDeps, { indexBlobId = '', spec }: BatchRecord): Promise<number[]> => {
  const known = remembered.get(indexBlobId);
  if (known) return known;
  const { bytes } = await readBlob(deps, indexBlobId, spec.tenant);
  const offsets: number[] = JSON.parse(bytes.toString());
  if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string);
  remembered.set(indexBlobId, offsets);
  return offsets;
};

/** One line of a batch: its number from 0, blank lines left out, and its text. */
export type ChunkLine = { line: number; text: string };

/**
 * The lines of one chunk: one range of the input file.
 * @throws AppError `not_found` when the file was deleted, `storage_error`.
 */
export const readChunk = async (deps: LineDeps, batch: BatchRecord, chunk: number): Promise<ChunkLine[]> => {
  const offsets = await offsetsOf(deps, batch);
  const [start = 0, end = 0] = offsets.slice(chunk, chunk + 2);
  const lines: ChunkLine[] = [];
  for await (const { text } of readLines(await deps.blobs.stream(batch.spec.inputBlobId, { start, end }))) {
    lines.push({ line: chunk * CHUNK_LINES + lines.length, text });
  }
  const expected = Math.min(CHUNK_LINES, batch.total - chunk * CHUNK_LINES);
  if (lines.length !== expected) throw new AppError('storage_error', 'The input file is not what it was when the batch began.');
  return lines;
};

/** Every line of a batch, in order, as a stream. @throws as `readChunk`. */
export async function* readAllLines(deps: LineDeps, batch: BatchRecord): AsyncGenerator<ChunkLine> {
  let line = 0;
  for await (const { text } of readLines(await deps.blobs.stream(batch.spec.inputBlobId))) yield { line: line++, text };
}

const customIdSchema = /"custom_id"\s*:\s*("(?:[^"\\]|\\.)*")/;

/** The custom id of a line that was found good before. */
export const customIdOf = (text: string): string => {
  const quick = customIdSchema.exec(text)?.[1];
  // A nested field may have the name too: the quick look counts only when the line has one such field.
  if (quick !== undefined && text.split('"custom_id"').length === 2) return JSON.parse(quick);
  return String(JSON.parse(text).custom_id);
};

import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { type BatchRecord, isEnded } from './batch.ts';
import { decodeResult, type NumberedResult, numberOfLineId, presentLasting, type ResultView } from './result.ts';
import { manyChunkResults, pendingChunks, readParts } from './store.ts';

/** The results of one part, in the order in which its lines ended. */
export const readPart = async (deps: Pick<Deps, 'blobs'>, blobId: string): Promise<NumberedResult[]> =>
  (await deps.blobs.read(blobId)).toString().split('\n').filter(Boolean).map(decodeResult);

/**
 * The lines that have ended, in the order of their ending, from the one after `after`: also of chunks that still run.
 * @throws AppError `invalid_request` when `after` is no line of this batch.
 */
export const listResults = async (
  deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>,
  batch: BatchRecord,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ results: ResultView[]; hasMore: boolean }> => {
  const from = after === undefined ? 0 : numberOfLineId(batch.id, after);
  if (from === undefined) throw new AppError('invalid_request', 'after: there is no such line in this batch.', { param: 'after' });
  // First what runs, then what has ended: a chunk that ends between the two looks is in both, never in neither.
  const found = new Map<number, NumberedResult>();
  const take = (results: NumberedResult[]): void => {
    for (const one of results) if (one.number > from) found.set(one.number, one);
  };
  const running = isEnded(batch.status) ? [] : await pendingChunks(deps, batch.id);
  take((await manyChunkResults(deps, batch.id, running)).map(decodeResult));
  const parts = (await readParts(deps, batch.id)).filter(({ last }) => last > from).sort((a, b) => a.first - b.first);
  for (const part of parts) {
    // Parts overlap, as their chunks ran side by side: one that begins behind the page adds nothing to it.
    const page = [...found.keys()].sort((a, b) => a - b).slice(0, limit + 1);
    if (page.length > limit && (page.at(-1) as number) < part.first) break;
    take(await readPart(deps, part.blobId));
  }
  // Numbers have no gaps, but the looks at the chunks are not one moment: a page ends before a line that was not seen yet, for nobody
  // asks for what lies behind the cursor again.
  const ordered: NumberedResult[] = [];
  for (let next = found.get(from + 1); next; next = found.get(next.number + 1)) ordered.push(next);
  const results = await Promise.all(ordered.slice(0, limit).map((one) => presentLasting(deps, batch, one)));
  return { results, hasMore: results.length > 0 && found.size > results.length };
};

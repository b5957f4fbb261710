import type { Deps } from '../deps.ts';
import type { PresentDeps } from '../endpoints/endpoint.ts';
import { AppError } from '../errors.ts';
import { type BatchRecord, isEnded } from './batch.ts';
import { decodeResult, type NumberedResult, numberOfLineId, presentLasting, type ResultView } from './result.ts';
import { manyChunkResults, pendingChunks, readParts } from './store.ts';

/** The results of one part, in the order in which its lines ended. */
export const readPart = async (deps: Pick<Deps, 'blobs'>, blobId: string): Promise<NumberedResult[]> =>
  (await deps.blobs.read(blobId)).toString().split('\n').filter(Boolean).map(decodeResult);

/** A page ends behind the line that makes it longer than this, in characters: a hundred pictures in base64 would be some hundred MB at once. */
const MAX_PAGE_CHARS = 16 * 1024 * 1024;

/** One after another, so that no more is read than the page takes. */
const presentPage = async (deps: PresentDeps, batch: BatchRecord, page: NumberedResult[]): Promise<ResultView[]> => {
  const views: ResultView[] = [];
  let length = 0;
  for (const one of page) {
    const view = await presentLasting(deps, batch, one);
    views.push(view);
    length += JSON.stringify(view).length;
    if (length > MAX_PAGE_CHARS) break;
  }
  return views;
};

/**
 * The lines that have ended, in the order of their ending, from the one after `after`: also of chunks that still run. At most `limit`, and
 * fewer when they are long.
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
  const results = await presentPage(deps, batch, ordered.slice(0, limit));
  return { results, hasMore: results.length > 0 && found.size > results.length };
};

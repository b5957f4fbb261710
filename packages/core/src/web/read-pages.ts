import type { Deps } from '../deps.ts';
import { AppError, toAppError } from '../errors.ts';
import type { Source, UrlKind } from '../jobs/job.ts';
import { fetchPage } from './fetch-page.ts';
import { addressOf, findPage, type KeptPage, keepPage } from './store.ts';
import { reasonOf, unreadable } from './unreadable.ts';
import { newNonce, untrustedBlock } from './untrusted-block.ts';

/** Pages of one message; the ones behind are named `over_limit`. */
const MAX_PAGES = 5;
/** Text of all of them; about 20,000 tokens of English. */
const MAX_JOB_CHARS = 80_000;
const LANES = 3;
/** For all pages of a job together. */
const JOB_TIMEOUT_MS = 45_000;

/** What became of a page that a message names; `text` if it was read. */
export type ReadPage = { source: Source; text?: string };
type Named = { url: string; kind: UrlKind };
type PageDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now' | 'logger'>;

/** What the cache cannot do is no reason not to read a page. */
const tolerant = async <T>(deps: PageDeps, step: () => Promise<T>): Promise<T | undefined> => {
  try {
    return await step();
  } catch (error) {
    if (toAppError(error).code !== 'storage_error') throw error;
    deps.logger.warn({ err: error }, 'the cache of pages cannot be used');
    return undefined;
  }
};

const readOne = async (deps: PageDeps, tenant: string, url: string, signal: AbortSignal): Promise<KeptPage> => {
  const kept = await tolerant(deps, () => findPage(deps, tenant, url));
  if (kept) return kept;
  const page = await fetchPage(deps.config, tenant, url, signal);
  await tolerant(deps, () => keepPage(deps, tenant, url, page));
  return page;
};

/** Failures that are ours, not the page's: another attempt of the job may help. */
const isOurs = (thrown: unknown): boolean => !(thrown instanceof AppError) || thrown.code === 'unavailable' || thrown.code === 'internal_error';

/** Reads a page or says why not. The end of the job's time is the page's failure, an abort of the job is the job's. */
const attempt = async (deps: PageDeps, tenant: string, url: string, clock: AbortSignal, job: AbortSignal): Promise<KeptPage | AppError> => {
  try {
    return await readOne(deps, tenant, url, AbortSignal.any([job, clock]));
  } catch (thrown) {
    job.throwIfAborted();
    if (clock.aborted) return unreadable('timed_out', 'The pages of the message together took too long.', thrown);
    if (isOurs(thrown)) throw thrown;
    return thrown as AppError;
  }
};

const readAll = async (deps: PageDeps, tenant: string, addresses: string[], signal: AbortSignal): Promise<Map<string, KeptPage | AppError>> => {
  signal.throwIfAborted();
  const clock = AbortSignal.timeout(JOB_TIMEOUT_MS);
  const outcomes = new Map<string, KeptPage | AppError>();
  const queue = addresses.values();
  const lane = async (): Promise<void> => {
    for (let next = queue.next(); !next.done; next = queue.next()) outcomes.set(next.value, await attempt(deps, tenant, next.value, clock, signal));
  };
  await Promise.all(Array.from({ length: Math.min(LANES, addresses.length) }, lane));
  return outcomes;
};

/**
 * Reads the pages and documents that a message names, each once, in their order. What cannot be read is named in its `source` with the
 * reason as status; it never fails the job (contract 4). A page that this tenant read in the last 10 minutes is not fetched again.
 * @throws AppError `unavailable`; the reason of `signal` when it aborts.
 */
export const readPages = async (deps: PageDeps, tenant: string, urls: readonly Named[], signal: AbortSignal): Promise<ReadPage[]> => {
  const named = urls.filter(({ kind }) => kind !== 'image');
  const addresses = [...new Set(named.map(({ url }) => addressOf(url)))].slice(0, MAX_PAGES);
  const outcomes = await readAll(deps, tenant, addresses, signal);
  const told = new Set<string>();
  let left = MAX_JOB_CHARS;
  return named.map(({ url, kind }): ReadPage => {
    const address = addressOf(url);
    const outcome = outcomes.get(address);
    if (!outcome) return { source: { url, kind, status: 'over_limit' } };
    if (outcome instanceof AppError) return { source: { url, kind, status: reasonOf(outcome) } };
    const { title, text, isTruncated } = outcome;
    // Named twice, told once.
    const kept = told.has(address) ? undefined : text.slice(0, left);
    told.add(address);
    left -= kept?.length ?? 0;
    const isCut = isTruncated || (kept !== undefined && kept.length < text.length);
    return { source: { url, kind, status: isCut ? 'truncated' : 'read', ...(title && { title }) }, ...(kept && { text: kept }) };
  });
};

/** The sources of a job in the order of its message: pages as they were read, pictures as `picture` says. */
export const sourcesOf = (urls: readonly Named[], pages: readonly ReadPage[], picture: 'read' | 'not_read'): Source[] => {
  const rest = pages.values();
  return urls.map(({ url, kind }) => (kind === 'image' ? { url, kind, status: picture } : (rest.next().value?.source ?? { url, kind, status: 'not_read' })));
};

const WHY = /_/g;

/**
 * What a model is told of the pages a message names: the text of those that were read, as data inside marks with a random nonce, and which
 * ones could not be read. Undefined when the message names none.
 */
export const pagesBlock = (pages: readonly ReadPage[], nonce = newNonce()): string | undefined => {
  if (pages.length === 0) return undefined;
  const read = pages.flatMap(({ source, text }) => (text === undefined ? [] : [{ source: source.url, title: source.title, text }]));
  const failed = pages.filter(({ source }) => source.status !== 'read' && source.status !== 'truncated');
  const { rule, block } = untrustedBlock(read, { maxChars: MAX_JOB_CHARS, nonce });
  const told = failed.map(({ source }) => `- ${source.url} (${source.status.replace(WHY, ' ')})`).join('\n');
  return [
    read.length > 0 && `The pages and documents that the message below names, as they were fetched. ${rule}\n\n${block}`,
    failed.length > 0 && `These addresses could not be read; say so if they matter, and do not guess what they say:\n${told}`,
  ]
    .filter(Boolean)
    .join('\n\n');
};

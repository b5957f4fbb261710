import type { Config } from '../config.ts';
import type { ExtractLimits } from './extractor.ts';
import { promisedKind } from './media-kind.ts';
import { readDocument } from './read-document.ts';
import { safeFetch } from './safe-fetch.ts';
import type { KeptPage } from './store.ts';
import { unreadable } from './unreadable.ts';

/** Fetched and unpacked; larger documents are refused by their Content-Length, or when this much has come. */
const MAX_BYTES = 20_000_000;
const FETCH_TIMEOUT_MS = 15_000;
const LIMITS: ExtractLimits = { maxChars: 40_000, maxPages: 200, timeoutMs: 20_000 };
const ACCEPT = 'text/html,application/xhtml+xml,application/pdf,text/markdown,text/plain;q=0.9,application/json;q=0.8,*/*;q=0.1';

/** Refuses what is no readable answer before its body is read: a video of gigabytes is named as one, not as too large. */
const checkHead = ({ status, headers }: { status: number; headers: Record<string, string> }): void => {
  if (status === 404 || status === 410) throw unreadable('not_found', `The server answered ${status}: there is no such page.`);
  if (status === 401 || status === 403 || status === 407 || status === 451)
    throw unreadable('forbidden', `The server answered ${status}: the page is not open to everybody.`);
  if (status < 200 || status > 299) throw unreadable('http_error', `The server answered ${status}.`);
  promisedKind(headers['content-type']);
};

/**
 * Fetches what a message names and reduces it to its text: pages, plain text, Markdown, JSON, XML and PDFs.
 * @throws AppError as `safeFetch` and `readDocument`: `reasonOf` has the word for it; the reason of `signal` when it aborts.
 */
export const fetchPage = async (config: Config, owner: string, url: string, signal: AbortSignal): Promise<KeptPage> => {
  const { headers, body } = await safeFetch(url, {
    headers: { accept: ACCEPT },
    timeoutMs: FETCH_TIMEOUT_MS,
    maxBytes: MAX_BYTES,
    allowPrivateNetwork: config.web.allowPrivateNetwork,
    onHead: checkHead,
    signal,
  });
  const { title, text, isTruncated } = await readDocument({ bytes: body, contentType: headers['content-type'], owner }, LIMITS, signal);
  return { title, text, isTruncated };
};

import { findBlob, saveBlobStream } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { cleanText } from '../jobs/input.ts';
import { promisedKind } from '../web/media-kind.ts';
import { readDocument as extract } from '../web/read-document.ts';
import { safeFetch } from '../web/safe-fetch.ts';
import { type DocumentRecord, MAX_PDF_BYTES, MAX_PDF_PAGES, MAX_TEXT_BYTES } from './collection.ts';
import { noteDocument } from './store.ts';

const FETCH_TIMEOUT_MS = 60_000;
const MAX_FETCHED_BYTES = 50_000_000;
const KEPT_MS = 100 * 365 * 86_400_000;
/** Of the process that reads it. */
const EXTRACT_TIMEOUT_MS = 120_000;

/** A document as it is cut into chunks: Markdown, which plain text is, too. */
export type ReadableDocument = { text: string; title: string | null; bytes: number };

type Content = { blobId: string; mediaType: string };

/** Fetches a page once for a version: an ingest that is taken up again reads the same bytes. */
const fetchOnce = async (deps: Deps, document: DocumentRecord, signal: AbortSignal): Promise<Content> => {
  const { source } = document;
  if (source.kind === 'blob') return source;
  if (source.blobId !== undefined) return { blobId: source.blobId, mediaType: source.mediaType ?? '' };
  const { status, headers, body } = await safeFetch(source.url, {
    headers: { accept: 'text/html,text/markdown,text/plain,application/pdf;q=0.9,*/*;q=0.1' },
    timeoutMs: FETCH_TIMEOUT_MS,
    maxBytes: MAX_FETCHED_BYTES,
    allowPrivateNetwork: deps.config.web.allowPrivateNetwork,
    signal,
  });
  if (status < 200 || status > 299) throw new AppError('fetch_failed', `The server answered ${status}.`);
  const mediaType = (headers['content-type'] ?? '').slice(0, 200);
  const blob = await saveBlobStream(deps, { tenant: document.tenant, source: pieces(body), mediaType, expiresMs: deps.now() + KEPT_MS });
  const kept = JSON.stringify({ kind: 'url', url: source.url, blobId: blob.id, mediaType });
  if (!(await noteDocument(deps.redis, document.id, document.jobId, { source: kept, bytes: blob.bytes }))) {
    throw new AppError('not_found', 'The document was deleted or replaced.');
  }
  return { blobId: blob.id, mediaType };
};

const pieces = async function* (bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
};

const tooLarge = (what: string): AppError => new AppError('document_too_large', `The document is too large: at most ${what} are read.`);

/**
 * Reads the text of a document, fetching it first if it is a page. A document is read whole or not at all: what was cut off could not be found.
 * @throws AppError `document_unreadable`, `document_too_large`, `fetch_failed`, `invalid_url`; `storage_error`, `unavailable`; the reason of `signal`.
 */
export const readDocument = async (deps: Deps, document: DocumentRecord, signal: AbortSignal): Promise<ReadableDocument> => {
  const { blobId, mediaType } = await fetchOnce(deps, document, signal);
  const blob = await findBlob(deps, blobId, document.tenant);
  if (!blob) throw new AppError('document_unreadable', 'The content of the document is gone.');
  if (blob.bytes > MAX_PDF_BYTES) throw tooLarge(`${MAX_PDF_BYTES} bytes of a PDF and ${MAX_TEXT_BYTES} of a text`);
  // Not a PDF by its name, and too long for anything else: it is not read into memory to be told so.
  const bytes = await deps.blobs.read(blobId);
  if (blob.bytes > MAX_TEXT_BYTES && !bytes.subarray(0, 1024).includes('%PDF-')) throw tooLarge(`${MAX_TEXT_BYTES} bytes of text`);
  promisedKind(mediaType);
  const limits = { maxChars: MAX_TEXT_BYTES, maxPages: MAX_PDF_PAGES, timeoutMs: EXTRACT_TIMEOUT_MS };
  const { text, title, isTruncated, pageCount, pageStarts } = await extract({ bytes, contentType: mediaType, owner: document.tenant }, limits, signal);
  if (pageCount !== undefined && pageCount > MAX_PDF_PAGES) throw tooLarge(`${MAX_PDF_PAGES} pages of a PDF`);
  if (text.length >= MAX_TEXT_BYTES || (isTruncated && pageCount === undefined)) throw tooLarge('3 million characters of a page and 20 million of a text');
  if (pageCount !== undefined && (pageStarts?.length ?? 0) < pageCount) throw new AppError('document_unreadable', 'The PDF takes too long to read.');
  return { text: cleanText(text), title: title || null, bytes: blob.bytes };
};

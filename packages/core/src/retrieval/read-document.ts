import { findBlob, saveBlobStream } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { cleanText } from '../jobs/input.ts';
import { safeFetch } from '../web/safe-fetch.ts';
import { type DocumentRecord, MAX_TEXT_BYTES } from './collection.ts';
import { decodeText } from './decode-text.ts';
import { noteDocument } from './store.ts';

const FETCH_TIMEOUT_MS = 60_000;
const MAX_FETCHED_BYTES = 50_000_000;
const KEPT_MS = 100 * 365 * 86_400_000;

/** A document as it is cut into chunks: Markdown, which plain text is, too. */
export type ReadableDocument = { text: string; bytes: number };

/** The bytes of a document: where they are, what they are said to be. */
type Bytes = { blobId: string; mediaType: string; filename?: string | undefined };

/** Fetches a page once for a version: an ingest that is taken up again reads the same bytes. */
const fetchOnce = async (deps: Deps, document: DocumentRecord, signal: AbortSignal): Promise<Bytes> => {
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
  const blob = await saveBlobStream(deps, {
    tenant: document.tenant,
    source: [body] as unknown as AsyncIterable<Uint8Array>,
    mediaType,
    expiresMs: deps.now() + KEPT_MS,
  });
  const noted = await noteDocument(deps.redis, document.id, document.jobId, {
    source: JSON.stringify({ kind: 'url', url: source.url, blobId: blob.id, mediaType }),
    bytes: blob.bytes,
  });
  if (!noted) throw new AppError('not_found', 'The document was deleted or replaced.');
  return { blobId: blob.id, mediaType };
};

/**
 * Reads the text of a document, fetching it first if it is a page.
 * @throws AppError `document_unreadable`, `document_too_large`, `fetch_failed`, `invalid_url`; `storage_error`, `unavailable`; the reason of `signal`.
 */
export const readDocument = async (deps: Deps, document: DocumentRecord, signal: AbortSignal): Promise<ReadableDocument> => {
  const { blobId, mediaType } = await fetchOnce(deps, document, signal);
  const blob = await findBlob(deps, blobId, document.tenant);
  if (!blob) throw new AppError('document_unreadable', 'The content of the document is gone.');
  if (blob.bytes > MAX_TEXT_BYTES) throw new AppError('document_too_large', `The document is too large: at most ${MAX_TEXT_BYTES} bytes of text are read.`);
  const text = decodeText(await deps.blobs.read(blobId), mediaType);
  return { text: cleanText(text), bytes: blob.bytes };
};

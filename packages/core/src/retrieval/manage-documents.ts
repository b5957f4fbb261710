import { z } from 'zod';
import type { BlobRecord } from '../blobs/blob.ts';
import { removeBlobs, saveBlobStream } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { findFile, openFile } from '../files/store.ts';
import { isId } from '../ids.ts';
import type { Acceptor } from '../jobs/acceptor.ts';
import { cancelJob } from '../jobs/cancel.ts';
import { isTerminal, type JobError } from '../jobs/job.ts';
import { readJob } from '../jobs/store.ts';
import { metadataSchema } from '../jobs/submission.ts';
import { type Submitter, submitIngest } from '../jobs/submit.ts';
import { parseWith } from '../parse.ts';
import { assertAllowedUrl } from '../web/allowed-url.ts';
import type { Collection, DocumentRecord, DocumentSource } from './collection.ts';
import { pageOf } from './manage-collections.ts';
import { deleteDocumentKeys, discardVersion, documentsKey, noteDocument, readDocuments, saveDocument } from './store.ts';
import { tidyMessage } from './tidy.ts';

/** What is uploaded lives as long as its document, which ends it. */
const KEPT_MS = 100 * 365 * 86_400_000;
/** A document whose job was never accepted (the request died) is told as failed after this. */
const ACCEPT_MS = 60_000;

const TEXT_TYPES = { text: 'text/plain', markdown: 'text/markdown', html: 'text/html' } as const;

const facts = {
  title: z.string().trim().min(1, 'must not be empty').max(500, 'must have at most 500 characters').optional(),
  metadata: metadataSchema.optional(),
};
const body = z.strictObject({
  ...facts,
  text: z.string().min(1, 'must not be empty').optional(),
  /** Of `text`: Markdown is plain text, too. */
  format: z.enum(['text', 'markdown', 'html']).optional(),
  url: z.string().max(8192).optional(),
  file_id: z.string().max(100).optional(),
});

/** What a client says of a document beside its content. */
export type DocumentFacts = { title?: string | undefined; metadata?: Record<string, string> | undefined };
/** Content that is a text in the request, a page somewhere, or a file uploaded before. */
type Given = { kind: 'text'; text: string; mediaType: string } | { kind: 'url'; url: string } | { kind: 'file'; fileId: string };
export type ParsedDocument = DocumentFacts & { given: Given };

/** Facts of a multipart body: `metadata` is JSON there. @throws AppError `invalid_request` with `param`. */
export const parseFacts = (given: Record<string, unknown>): DocumentFacts => parseWith(z.strictObject(facts), given);

/** Checks a JSON body. @throws AppError `invalid_request`, `invalid_url`, with `param`. */
export const parseDocument = (deps: Pick<Deps, 'config'>, given: unknown): ParsedDocument => {
  const { title, metadata, text, format = 'markdown', url, file_id: fileId } = parseWith(body, given);
  const named = [text, url, fileId].filter((content) => content !== undefined).length;
  if (named !== 1) throw new AppError('invalid_request', 'text: exactly one of text, url and file_id is needed.', { param: 'text' });
  if (url !== undefined) assertAllowedUrl(url, deps.config.web.allowPrivateNetwork, 'url');
  const content: Given =
    url !== undefined
      ? { kind: 'url', url }
      : fileId !== undefined
        ? { kind: 'file', fileId }
        : { kind: 'text', text: text ?? '', mediaType: TEXT_TYPES[format] };
  return { title, metadata, given: content };
};

/** Stores what a client uploads as the content of a document. @throws what `saveBlobStream` throws. */
export const storeContent = (deps: Deps, tenant: string, source: AsyncIterable<Uint8Array>, mediaType: string): Promise<BlobRecord> =>
  saveBlobStream(deps, { tenant, source, mediaType, expiresMs: deps.now() + KEPT_MS });

/** The content of a document as it is kept: a file is copied, because it may be deleted tomorrow. */
export type Content = { source: DocumentSource; bytes?: number; preview: string };

const piecesOf = async function* (text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text.toWellFormed());
};

/** Keeps the content of a JSON body. @throws AppError `invalid_request` (no such file), `storage_error`. */
export const keepContent = async (deps: Deps, tenant: string, given: Given): Promise<Content> => {
  if (given.kind === 'url') return { source: { kind: 'url', url: given.url }, preview: given.url };
  if (given.kind === 'text') {
    const blob = await storeContent(deps, tenant, piecesOf(given.text), given.mediaType);
    return { source: { kind: 'blob', blobId: blob.id, mediaType: given.mediaType }, bytes: blob.bytes, preview: given.text.slice(0, 500) };
  }
  const file = await findFile(deps, tenant, given.fileId);
  if (!file) throw new AppError('invalid_request', 'file_id: there is no such file.', { param: 'file_id' });
  const blob = await storeContent(deps, tenant, await openFile(deps, file), file.mediaType);
  return { source: { kind: 'blob', blobId: blob.id, mediaType: file.mediaType, filename: file.filename }, bytes: blob.bytes, preview: file.filename };
};

const blobsOf = ({ source }: { source: DocumentSource }): string[] => (source.blobId === undefined ? [] : [source.blobId]);

/** What a new document, or a new version of one, is made of. `id` and `jobId` are the same in a repeated request. */
export type NewVersion = { id: string; jobId: string; facts: DocumentFacts; content: Content; replaces?: DocumentRecord | undefined };

/**
 * Writes a document and accepts its ingest. One that it `replaces` is found as it was until the new version is whole.
 * @throws AppError `not_found` (the collection or document was deleted meanwhile), `unavailable`.
 */
export const ingestDocument = async (
  deps: Deps,
  acceptor: Acceptor,
  submitter: Submitter,
  collection: Collection,
  { id, jobId, facts: { title, metadata }, content, replaces }: NewVersion,
): Promise<DocumentRecord> => {
  const { source, bytes, preview } = content;
  const saved = await saveDocument(
    deps.redis,
    {
      id,
      tenant: collection.tenant,
      collectionId: collection.id,
      jobId,
      source,
      ...(title !== undefined && { title }),
      ...(metadata && { metadata }),
      ...(bytes !== undefined && { bytes }),
    },
    replaces === undefined,
  );
  if (saved === 'gone') {
    await removeBlobs(deps, blobsOf({ source }));
    throw new AppError('not_found', 'The collection or document was deleted.');
  }
  await submitIngest(deps, acceptor, submitter, {
    jobId,
    documentId: id,
    collectionId: collection.id,
    preview: title ?? preview,
    model: collection.embedding.model,
  });
  if (replaces) {
    await removeBlobs(
      deps,
      blobsOf(replaces).filter((blobId) => !blobsOf({ source }).includes(blobId)),
    );
    await stopIngest(deps, replaces);
  }
  const [document] = await readDocuments(deps.redis, [id]);
  if (!document) throw new AppError('not_found', 'The document was deleted.');
  return document;
};

/** Stops the ingest of a version that nobody waits for any more; one that has ended is left alone. */
const stopIngest = async (deps: Deps, { jobId }: DocumentRecord): Promise<void> => {
  const job = await readJob(deps.redis, jobId);
  if (!job || isTerminal(job.status)) return;
  await cancelJob(deps, job).catch((error: unknown) => {
    if (!(error instanceof AppError && error.code === 'job_not_cancellable')) throw error;
  });
};

/** The document as it stands: one whose job ended without telling it is told of it now. */
const settled = async (deps: Pick<Deps, 'redis' | 'now'>, document: DocumentRecord): Promise<DocumentRecord> => {
  if (document.status !== 'queued' && document.status !== 'in_progress') return document;
  const job = await readJob(deps.redis, document.jobId);
  if (!job && deps.now() - document.createdMs < ACCEPT_MS) return document;
  if (job && !isTerminal(job.status)) return document;
  const error = job?.error ?? { code: 'internal_error', message: 'The ingest of this document is gone: send the document again.' };
  return { ...document, status: 'failed', error };
};

/** The document of that id, if it is in this collection. */
export const findDocument = async (deps: Pick<Deps, 'redis' | 'now'>, collection: Collection, id: string): Promise<DocumentRecord | undefined> => {
  const [document] = isId('doc', id) ? await readDocuments(deps.redis, [id]) : [];
  return document?.collectionId === collection.id ? settled(deps, document) : undefined;
};

/** Documents of a collection, newest first, from the one after `after`. @throws AppError `invalid_request` when that is none of them. */
export const listDocuments = async (
  deps: Pick<Deps, 'redis' | 'now'>,
  collection: Collection,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ documents: DocumentRecord[]; hasMore: boolean }> => {
  const ids = await pageOf(deps, documentsKey(collection.id), limit, after, 'document');
  const documents = await readDocuments(deps.redis, ids.slice(0, limit));
  return { documents: await Promise.all(documents.map((document) => settled(deps, document))), hasMore: ids.length > limit };
};

/** Takes a document away: once this resolves no search finds anything of it. Its chunks leave the disk shortly after. */
export const deleteDocument = async (deps: Deps, document: DocumentRecord): Promise<void> => {
  await deleteDocumentKeys(deps.redis, document);
  await removeBlobs(deps, blobsOf(document));
  await stopIngest(deps, document);
  await deps.queues.enqueue([tidyMessage(deps, document.collectionId)]);
};

/** Says on a document how its ingest ended, if it is still its ingest; an earlier version stays found. */
export const failDocument = async (
  deps: Pick<Deps, 'redis' | 'now'>,
  { documentId, collectionId, jobId }: { documentId: string; collectionId: string; jobId: string },
  error: JobError,
): Promise<void> => {
  await noteDocument(deps.redis, documentId, jobId, { status: 'failed', error: JSON.stringify(error), goes: 0, done: 0 });
  await discardVersion(deps.redis, collectionId, jobId, deps.now());
};

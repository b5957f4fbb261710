import type { JobError } from '../jobs/job.ts';
import type { ProviderName } from '../providers/provider.ts';

/** Who makes the vectors of a collection, fixed when it is created: its queries have to be in the same space as its chunks. */
export type Embedding = { provider: ProviderName | 'local'; model: string; dimensions: number | null };

/** A set of documents of one tenant that is searched as one. Its chunks are a table of their own. */
export type Collection = {
  id: string;
  tenant: string;
  name: string;
  metadata: Record<string, string>;
  embedding: Embedding;
  createdMs: number;
};

export type DocumentStatus = 'queued' | 'in_progress' | 'completed' | 'failed';

/** Where the text of a document comes from; the bytes of an upload are a blob of the document's own. */
export type DocumentSource =
  | { kind: 'blob'; blobId: string; mediaType: string; filename?: string }
  /** `blobId`: what was fetched, so that an ingest that is taken up again reads the same. */
  | { kind: 'url'; url: string; blobId?: string; mediaType?: string };

/** How far the ingest has come: chunks made and chunks stored. */
export type Progress = { done: number; total: number };

/**
 * A document. Its ingest is the job `jobId`, whose id is also the version of its chunks: `live` is the version that searches find, which
 * stays the one before until a new one is whole.
 */
export type DocumentRecord = {
  id: string;
  tenant: string;
  collectionId: string;
  createdMs: number;
  source: DocumentSource;
  jobId: string;
  status: DocumentStatus;
  metadata: Record<string, string>;
  /** Given by the client; a title found in the document is `foundTitle`. */
  title?: string;
  foundTitle?: string;
  bytes?: number;
  /** Of the live version. */
  chunks?: number;
  live?: string;
  progress?: Progress;
  error?: JobError;
};

/** Bytes of one document (contract 3: multipart files 200 MB). */
export const MAX_DOCUMENT_BYTES = 200_000_000;
/** Of readable text: some 7,000 pages. */
export const MAX_TEXT_BYTES = 20_000_000;
/** PDFs are mostly pictures and fonts. */
export const MAX_PDF_BYTES = 100_000_000;
export const MAX_PDF_PAGES = 3000;
/** Chunks of one document. */
export const MAX_CHUNKS = 20_000;
/** Chunks a search returns at most, and unless it says how many. */
export const MAX_TOP_K = 50;
export const DEFAULT_TOP_K = 5;

/** A piece of a document as it is searched and quoted. `path`: the headings it stands under, outermost first. */
export type Chunk = { text: string; path: string[] };

/** A chunk that a search found. */
export type Match = { documentId: string; chunk: number; title: string | null; url: string | null; path: string[]; text: string; score: number };

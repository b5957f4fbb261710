import type { Collection, DocumentRecord, Match } from './collection.ts';

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** A collection as clients see it. */
export const presentCollection = ({ id, name, metadata, embedding, createdMs }: Collection) => ({
  id,
  object: 'collection' as const,
  name,
  metadata,
  embedding_model: embedding.model,
  created_at: seconds(createdMs),
});

/** A document as clients see it; `chunks` are those that searches find now. */
export const presentDocument = (document: DocumentRecord) => ({
  id: document.id,
  object: 'document' as const,
  collection_id: document.collectionId,
  status: document.status,
  title: document.title ?? document.foundTitle ?? null,
  url: document.source.kind === 'url' ? document.source.url : null,
  bytes: document.bytes ?? null,
  chunks: document.chunks ?? 0,
  progress: document.progress ?? null,
  error: document.error ? { code: document.error.code, message: document.error.message } : null,
  job_id: document.jobId,
  metadata: document.metadata,
  created_at: seconds(document.createdMs),
});

/** A match as clients see it. */
export const presentMatch = ({ documentId, chunk, title, url, path, text, score }: Match) => ({
  document_id: documentId,
  chunk,
  title,
  url,
  path,
  text,
  score: Math.round(score * 10_000) / 10_000,
});

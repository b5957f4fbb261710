import type { Readable } from 'node:stream';

/** What is known of stored bytes; kept in Redis, while the bytes are in the blob store. */
export type BlobRecord = {
  id: string;
  tenant: string;
  mediaType: string;
  bytes: number;
  sha256: string;
  width?: number;
  height?: number;
  createdMs: number;
  expiresMs: number;
};

/** Where bytes live: a local folder now, Azure Blob later. Keys are blob ids. */
export type BlobStore = {
  /** Stores the bytes whole or not at all. @throws AppError `storage_error`. */
  put: (id: string, bytes: Buffer, mediaType: string) => Promise<void>;
  /** @throws AppError `not_found` when there are no such bytes, `storage_error` when they cannot be read. */
  read: (id: string) => Promise<Buffer>;
  /** As `read`, without holding the bytes in memory. */
  stream: (id: string) => Promise<Readable>;
  /** Removing what is not there is no error. */
  remove: (id: string) => Promise<void>;
  /** Whether bytes can be written and read now. @throws AppError `storage_error`. */
  check: () => Promise<void>;
};

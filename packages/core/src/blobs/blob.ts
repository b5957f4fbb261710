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

/** Bytes `start` up to but not including `end` (default: to the last one), as `Buffer.subarray` counts. */
export type ByteRange = { start: number; end?: number };

/** Where bytes live: a local folder, or a container of Azure Blob Storage. Keys are blob ids. */
export type BlobStore = {
  /** Stores the bytes whole or not at all. @throws AppError `storage_error`. */
  put: (id: string, bytes: Buffer, mediaType: string) => Promise<void>;
  /**
   * As `put`, of bytes that come piece by piece: no more of them than one write (64 KiB in a folder, 4 MiB at Azure, or one piece) is held in
   * memory, and the source waits for the store. A piece is not to be changed after it was given. Resolves once the bytes are as safe as those of `put`.
   * @throws AppError `storage_error`, and what `source` throws; nothing is left behind then, and bytes that were under this id before stay.
   */
  write: (id: string, source: AsyncIterable<Uint8Array>, mediaType: string) => Promise<{ bytes: number; sha256: string }>;
  /** @throws AppError `not_found` when there are no such bytes, `storage_error` when they cannot be read. */
  read: (id: string) => Promise<Buffer>;
  /** As `read`, without holding the bytes in memory. A range that lies behind the end is empty. */
  stream: (id: string, range?: ByteRange) => Promise<Readable>;
  /** Also what a writer that died left of it. Removing what is not there is no error. */
  remove: (id: string) => Promise<void>;
  /** Whether bytes can be written and read now. @throws AppError `storage_error`. */
  check: () => Promise<void>;
  /** A link to the bytes at the store itself, where it gives any: good until `expiresMs` for whoever has it. @throws AppError `storage_error`. */
  link?: (id: string, options: { expiresMs: number; disposition?: string }) => Promise<string>;
};

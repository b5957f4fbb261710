/** What a client may say a file is for (OpenAI's list). */
export const UPLOAD_PURPOSES = ['assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'] as const;
/** `batch_output` is what our own batches make; nobody uploads it. */
export const FILE_PURPOSES = [...UPLOAD_PURPOSES, 'batch_output'] as const;
export type FilePurpose = (typeof FILE_PURPOSES)[number];

/** Of one uploaded file, as of one batch (contract 3, "files 200 MB"): decimal, so that 201 MB are too many however they are counted. */
export const MAX_FILE_BYTES = 200_000_000;
const MAX_NAME_CHARS = 255;

/** A file as OpenAI has them; its bytes are a blob. */
export type FileRecord = {
  id: string;
  tenant: string;
  filename: string;
  purpose: FilePurpose;
  /** Of its bytes: how many, of what type, and their SHA-256 in hex. */
  bytes: number;
  mediaType: string;
  sha256: string;
  blobId: string;
  createdMs: number;
  expiresMs: number;
  status: 'uploaded' | 'processed' | 'error';
};

/** The name a client gave, without what would break a header or a terminal: control characters, half characters, more than 255 characters. */
export const cleanFilename = (name: string): string => {
  const clean = name
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '')
    .trim();
  return [...clean].slice(0, MAX_NAME_CHARS).join('') || 'file';
};

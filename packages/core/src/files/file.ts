/** What a file is for (OpenAI's list); `batch_output` is what our own batches make. */
export type FilePurpose = 'assistants' | 'batch' | 'fine-tune' | 'vision' | 'user_data' | 'evals' | 'batch_output';

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

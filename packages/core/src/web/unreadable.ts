import { AppError } from '../errors.ts';

/** Why a page or document named in a message was not read: the `status` of its source says so in one of these words (docs/sources.md lists them). */
export const UNREADABLE = [
  'blocked',
  'unreachable',
  'timed_out',
  'not_found',
  'forbidden',
  'http_error',
  'too_large',
  'too_complex',
  'encrypted',
  'broken',
  'empty',
  'is_video',
  'is_audio',
  'is_image',
  'is_binary',
  'over_limit',
  'failed',
] as const;
export type Unreadable = (typeof UNREADABLE)[number];

const isUnreadable = (word: string | undefined): word is Unreadable => (UNREADABLE as readonly (string | undefined)[]).includes(word);

/** The failure of reading a document: `message` says it to people, `reason` to programs. */
export const unreadable = (reason: Unreadable, message: string, cause?: unknown): AppError =>
  new AppError('document_unreadable', message, { reason, ...(cause !== undefined && { cause }) });

/** The word for what reading threw: an AppError of `unreadable` or of `safeFetch`. */
export const reasonOf = (error: AppError): Unreadable => {
  if (isUnreadable(error.reason)) return error.reason;
  if (error.code === 'invalid_url') return 'blocked';
  return error.code === 'fetch_failed' ? 'unreachable' : 'failed';
};

import { type DecodeHint, decodeText } from './decode-text.ts';
import { type Extract, type ExtractLimits, extract } from './extractor.ts';
import { charsetOf, kindOf, promisedKind } from './media-kind.ts';
import { tidyText } from './tidy-text.ts';
import { unreadable } from './unreadable.ts';

/** Bytes of a document, what they were called, and the tenant whose they are: tenants take turns. */
export type GivenDocument = { bytes: Buffer; contentType?: string | undefined; owner: string };

/** Plain text, Markdown, JSON and the like, as they are. @throws AppError `document_unreadable`. */
const readPlain = (bytes: Buffer, hint: Omit<DecodeHint, 'isHtml'>, limits: ExtractLimits): Extract => {
  // No character takes more than 4 bytes; this much is decoded without keeping the loop of the process from others.
  const part = bytes.subarray(0, limits.maxChars * 4);
  const { text: decoded, isDamaged } = decodeText(part, { ...hint, isHtml: false });
  if (isDamaged || decoded.slice(0, 4096).includes('\0')) throw unreadable('is_binary', 'It is no text, or one in no encoding that can be read.');
  const text = tidyText(decoded);
  if (text === '') throw unreadable('empty', 'There is no text in it.');
  return { title: '', text: text.slice(0, limits.maxChars), isTruncated: part.length < bytes.length || text.length > limits.maxChars };
};

/**
 * The readable text of a document of any kind that is read: PDF, HTML, plain text, Markdown, JSON, XML. What it is, its bytes decide.
 * @throws AppError `document_unreadable` saying why not; the reason of `signal` when it aborts.
 */
export const readDocument = async ({ bytes, contentType, owner }: GivenDocument, limits: ExtractLimits, signal: AbortSignal): Promise<Extract> => {
  const kind = kindOf(bytes, promisedKind(contentType));
  if (bytes.length === 0) throw unreadable('empty', 'There is nothing in it.');
  const charset = charsetOf(contentType);
  return kind === 'text' ? readPlain(bytes, { charset }, limits) : extract({ kind, charset, limits }, { bytes, owner }, signal);
};

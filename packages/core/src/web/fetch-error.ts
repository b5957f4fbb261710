import { AppError } from '../errors.ts';

/** What went wrong in words, by the codes of Node, OpenSSL and undici. No line names an address: a name's address is not the caller's to learn. */
const REASONS: [RegExp, string][] = [
  [/^ECONNREFUSED$/, 'The connection was refused.'],
  [/^(?:ENOTFOUND|EAI_|ENODATA|ESERVFAIL)/, 'The host name could not be resolved (DNS).'],
  [/^(?:ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EACCES)$/, 'The host could not be reached.'],
  [/^(?:ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/, 'The connection timed out.'],
  [/^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH)/, 'No secure connection could be made (TLS).'],
  [/^(?:ECONNRESET|EPIPE|UND_ERR_SOCKET|UND_ERR_DESTROYED|UND_ERR_ABORTED|UND_ERR_CLOSED|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/, 'The connection was cut.'],
  [/^UND_ERR_HEADERS_OVERFLOW$/, 'The headers of the reply are too large.'],
  [/^HTTPParserError$/, 'The reply is not valid HTTP.'],
];

/** Parser errors have a name but not always a code. */
const codeOf = (thrown: unknown): string => {
  if (!(thrown instanceof Error)) return '';
  return 'code' in thrown && typeof thrown.code === 'string' && !thrown.code.startsWith('HPE_') ? thrown.code : thrown.name;
};

/** Whatever a request threw as an AppError: `fetch_failed` unless it is one already. The cause stays, for the log. */
export const fetchError = (thrown: unknown): AppError => {
  if (thrown instanceof AppError) return thrown;
  const code = codeOf(thrown);
  const reason = REASONS.find(([pattern]) => pattern.test(code))?.[1] ?? 'The request failed.';
  return new AppError('fetch_failed', reason, { cause: thrown });
};

/** The error of a request that was given up after `timeoutMs`. */
export const timedOut = (timeoutMs: number): AppError =>
  new AppError('fetch_failed', `There was no complete reply within ${timeoutMs / 1000} s (timeout).`, { reason: 'timed_out' });

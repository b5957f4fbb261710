import { AppError } from '../errors.ts';

const HEADER = /^data:([a-z0-9.+/-]{1,100})?(?:;[a-z0-9=._-]{1,100})*;base64,/i;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/**
 * The bytes of a base64 data URL (RFC 2397), or of plain base64. `mediaType` is what the URL says of itself, if it does.
 * @throws AppError `invalid_request` with `param`.
 */
export const decodeDataUrl = (data: string, param: string): { bytes: Buffer; mediaType: string | undefined } => {
  const header = HEADER.exec(data.slice(0, 300));
  if (!header && data.startsWith('data:')) throw new AppError('invalid_request', `${param}: must be a base64 data URL.`, { param });
  const base64 = (header ? data.slice(header[0].length) : data).replace(/\s+/g, '');
  if (!BASE64.test(base64)) throw new AppError('invalid_request', `${param}: must be base64.`, { param });
  return { bytes: Buffer.from(base64, 'base64'), mediaType: header?.[1] };
};

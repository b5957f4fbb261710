import { isIP } from 'node:net';
import { AppError } from '../errors.ts';
import { isAllowedAddress } from './address-policy.ts';

/** Ports that browsers refuse too, because HTTP sent there is taken for another protocol (WHATWG fetch, "bad port"). */
export const BAD_PORTS: ReadonlySet<number> = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137,
  139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
]);

/** Names of this machine that need no DNS (RFC 6761 6.3 and the usual /etc/hosts). */
const LOCAL_NAME = /(?:^|\.)(?:localhost|localhost\.localdomain|localhost6|ip6-localhost|ip6-loopback)\.?$/;

/** The host of a URL as the resolver and `net` take it: IPv6 without its brackets. */
export const hostOf = (url: URL): string => (url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname);

/** What every refusal of an address says: not which address a name led to. */
export const blockedAddress = (param: string): AppError =>
  new AppError('invalid_url', 'The URL leads to an address that may not be reached from here: only the public internet may.', { param });

const refuse = (message: string, param: string): never => {
  throw new AppError('invalid_url', message, { param });
};

/**
 * Checks everything of a user-given URL that can be known without DNS: scheme, credentials, port, and the host if it is an address or a
 * name of this machine. Names are checked again by what they resolve to, when the connection is made (safe-fetch.ts).
 * @throws AppError `invalid_url` about `param`.
 */
export const assertAllowedUrl = (url: string, allowPrivateNetwork: boolean, param: string): URL => {
  if (!URL.canParse(url)) refuse('The URL cannot be read.', param);
  const parsed = new URL(url);
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') refuse('The URL must begin with http:// or https://.', param);
  if (parsed.username !== '' || parsed.password !== '') refuse('The URL must not hold a user name or password.', param);
  if (parsed.port !== '' && BAD_PORTS.has(Number(parsed.port))) refuse(`Port ${parsed.port} is not for HTTP and may not be reached.`, param);
  const host = hostOf(parsed);
  if (isIP(host) !== 0 && !isAllowedAddress(host, allowPrivateNetwork)) throw blockedAddress(param);
  if (!allowPrivateNetwork && LOCAL_NAME.test(host)) throw blockedAddress(param);
  return parsed;
};

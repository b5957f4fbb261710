import { Client, type Dispatcher } from 'undici';
import { AppError } from '../errors.ts';
import { assertAllowedUrl } from './allowed-url.ts';
import { guardedConnector, type Lookup, systemLookup } from './connect.ts';
import { fetchError, timedOut } from './fetch-error.ts';
import { readBody, tooLarge } from './reply-body.ts';

export type SafeFetchOptions = {
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  /** For everything together: DNS, connecting, redirects, body. */
  timeoutMs: number;
  /** Of the body, counted after decompression. */
  maxBytes: number;
  /** Return what came within `maxBytes` instead of failing. */
  truncate?: boolean;
  /** 5 unless given; with 0 a redirect is returned as it is. */
  maxRedirects?: number;
  /** FANA_ALLOW_PRIVATE_NETWORK. */
  allowPrivateNetwork: boolean;
  /** Called with the head of the reply that is not followed further; what it throws ends the fetch before the body is read. */
  onHead?: (head: { status: number; headers: Record<string, string> }) => void;
  signal?: AbortSignal;
  /** Replaces DNS, for tests. */
  lookup?: Lookup;
};

/** Header names are lower-case; repeated headers are joined by `, `. `body` is unpacked (gzip, br, deflate). `url` is that of the last hop. */
export type SafeReply = { status: number; headers: Record<string, string>; body: Buffer; url: string; truncated: boolean };

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const DEFAULT_REDIRECTS = 5;
/** What may follow a redirect to another origin. */
const HARMLESS_HEADERS = new Set(['accept', 'accept-language', 'user-agent', 'content-type']);
/** Statuses that never have a body, whatever their headers say. */
const BODILESS = new Set([204, 205, 304]);

type Hop = { url: URL; method: 'GET' | 'POST'; headers: Record<string, string>; body: string | undefined };

/**
 * The only way to a user-given URL. Scheme, port, credentials and address are checked on every hop, the address when the connection
 * is made, so that neither a redirect nor a changing DNS answer leads inside. No cookies, and no connection outlives its hop.
 * @throws AppError `invalid_url` (param `url`) for what may not be reached; `fetch_failed` with a short reason for what could not be
 *   fetched; the reason of `signal` when it aborts.
 */
export const safeFetch = async (url: string, options: SafeFetchOptions): Promise<SafeReply> => {
  const { signal: outer, timeoutMs } = options;
  outer?.throwIfAborted();
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(), timeoutMs);
  const signal = outer ? AbortSignal.any([outer, clock.signal]) : clock.signal;
  try {
    return await follow(url, options, signal);
  } catch (thrown) {
    outer?.throwIfAborted();
    if (clock.signal.aborted) throw timedOut(timeoutMs);
    throw fetchError(thrown);
  } finally {
    clearTimeout(timer);
  }
};

const follow = async (start: string, options: SafeFetchOptions, signal: AbortSignal): Promise<SafeReply> => {
  const { method = 'GET', headers = {}, body, maxRedirects = DEFAULT_REDIRECTS, allowPrivateNetwork } = options;
  let hop: Hop = { url: assertAllowedUrl(start, allowPrivateNetwork, 'url'), method, headers: lowerCased(headers), body };
  for (let redirects = 0; ; redirects++) {
    const reply = await requestOnce(hop, options, signal);
    if (!('location' in reply)) return reply;
    if (redirects === maxRedirects) throw new AppError('fetch_failed', `There were too many redirects: at most ${maxRedirects} are followed.`);
    hop = redirected(hop, reply, allowPrivateNetwork);
  }
};

type Redirect = { status: number; location: string };

const redirected = (from: Hop, { status, location }: Redirect, allowPrivateNetwork: boolean): Hop => {
  if (!URL.canParse(location, from.url.href)) throw new AppError('fetch_failed', 'A redirect leads to an address that cannot be read.');
  const url = assertAllowedUrl(new URL(location, from.url).href, allowPrivateNetwork, 'url');
  // As browsers do (WHATWG fetch): 307 and 308 repeat the request, the others ask with GET.
  const repeats = status === 307 || status === 308 || from.method === 'GET';
  const kept = Object.entries(from.headers).filter(([name]) => url.origin === from.url.origin || HARMLESS_HEADERS.has(name));
  const headers = Object.fromEntries(repeats ? kept : kept.filter(([name]) => name !== 'content-type'));
  return { url, method: repeats ? from.method : 'GET', headers, body: repeats ? from.body : undefined };
};

/** One request over a connection of its own, closed at its end however it ends. */
const requestOnce = async (hop: Hop, options: SafeFetchOptions, signal: AbortSignal): Promise<SafeReply | Redirect> => {
  const { allowPrivateNetwork, lookup = systemLookup } = options;
  signal.throwIfAborted();
  const client = new Client(hop.url.origin, {
    connect: guardedConnector({ allowPrivateNetwork, lookup, signal }),
    allowH2: false,
    // The total limit is ours.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  // Not the request's own `signal`: that one is not heard while the connection is being made.
  const stop = (): void => void client.destroy(new Error('aborted'));
  signal.addEventListener('abort', stop, { once: true });
  try {
    const response = await client.request({
      path: `${hop.url.pathname}${hop.url.search}`,
      method: hop.method,
      headers: { 'user-agent': 'FANA/1', 'accept-encoding': 'gzip, br', connection: 'close', ...hop.headers },
      body: hop.body ?? null,
    });
    return await readReply(hop.url, response, options);
  } finally {
    signal.removeEventListener('abort', stop);
    await client.destroy();
  }
};

const readReply = async (url: URL, response: Dispatcher.ResponseData, options: SafeFetchOptions): Promise<SafeReply | Redirect> => {
  const { maxBytes, truncate = false, maxRedirects = DEFAULT_REDIRECTS } = options;
  const { statusCode: status, body } = response;
  // A body that is not read to its end fails when its connection is closed; nobody needs to hear of it.
  body.on('error', () => undefined);
  const headers = flat(response.headers);
  const { location } = headers;
  if (maxRedirects > 0 && REDIRECTS.has(status) && location !== undefined) return { status, location };
  options.onHead?.({ status, headers });
  const coding = BODILESS.has(status) ? '' : (headers['content-encoding'] ?? '').trim().toLowerCase();
  if (!truncate && coding === '' && Number(headers['content-length']) > maxBytes) throw tooLarge(maxBytes);
  return { status, headers, url: url.href, ...(await readBody(body, coding, { maxBytes, truncate })) };
};

const flat = (headers: Dispatcher.ResponseData['headers']): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name.toLowerCase(), [value].flat().join(', ')]])));

const lowerCased = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

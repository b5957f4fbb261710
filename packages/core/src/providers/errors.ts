import { AppError, type AppErrorOptions, type ErrorCode, type ProviderFailure } from '../errors.ts';
import { parseRetryAfter } from '../web/retry-after.ts';
import type { CallState, StopReason } from './call.ts';

/** Who was called, for messages; `apiKey` is blotted out of everything that is kept. */
export type Account = { label: string; keyVariable: string; apiKey: string };

/** A provider's refusal in its own words, from an error reply or an error event of a stream. */
type Words = { message: string; code?: string; type?: string; param?: string };

const MESSAGE_CHARACTERS = 300;
const DAY_MS = 86_400_000;

/** `1s`, `6m0s`, `120ms`, `1h2m3.5s` (Go durations, as in `x-ratelimit-reset-*`) in milliseconds. */
export const parseGoDuration = (text: string): number | undefined => {
  if (!/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(text)) return undefined;
  const unitMs = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)) totalMs += Number(amount) * unitMs[unit as keyof typeof unitMs];
  return Math.ceil(totalMs);
};

/** What a reply says of one limit of an account. */
export type RateLimit = { limit: string | null; remaining: string | null; resetMs?: number };

/** Milliseconds until a moment (RFC 3339). */
const untilMoment = (text: string, nowMs: number): number | undefined => {
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
};

/** Every limit that headers tell of, in the dialects of OpenAI and Groq (`x-ratelimit-reset-requests: 1s`) and of Anthropic (a moment in time). */
export const rateLimitsOf = (headers: Headers, nowMs: number): (RateLimit & { what: string })[] => {
  const read = (what: string, name: (field: string) => string, toMs: (text: string) => number | undefined): RateLimit & { what: string } => {
    const resetMs = toMs(headers.get(name('reset')) ?? '');
    return { what, limit: headers.get(name('limit')), remaining: headers.get(name('remaining')), ...(resetMs !== undefined && { resetMs }) };
  };
  return [
    ...['requests', 'tokens'].map((what) => read(what, (field) => `x-ratelimit-${field}-${what}`, parseGoDuration)),
    ...['requests', 'tokens', 'input-tokens', 'output-tokens'].map((what) =>
      read(
        what,
        (field) => `anthropic-ratelimit-${what}-${field}`,
        (text) => untilMoment(text, nowMs),
      ),
    ),
  ];
};

/** The reset that was waited for: of the limits that say nothing remains, the last one to come back. */
const lastResetMs = (headers: Headers, nowMs: number): number | undefined => {
  const waits = rateLimitsOf(headers, nowMs).flatMap(({ resetMs, remaining }) =>
    resetMs !== undefined && (remaining === null || Number(remaining) <= 0) ? [resetMs] : [],
  );
  return waits.length > 0 ? Math.max(...waits) : undefined;
};

/** How long a provider asks to wait, in milliseconds; at most a day. */
export const retryAfterOf = (headers: Headers, nowMs: number = Date.now()): number | undefined => {
  const exact = Number(headers.get('retry-after-ms') ?? Number.NaN);
  const waitMs =
    Number.isFinite(exact) && exact >= 0 ? Math.ceil(exact) : (parseRetryAfter(headers.get('retry-after') ?? undefined, nowMs) ?? lastResetMs(headers, nowMs));
  return waitMs === undefined ? undefined : Math.min(waitMs, DAY_MS);
};

/** No key and nothing that looks like one, and not longer than a message should be. */
const clean = (text: string, { apiKey }: Account): string => {
  const blotted = (apiKey.length >= 4 ? text.replaceAll(apiKey, '***') : text).replace(/\b(sk|gsk|org|proj)[-_][\w*.-]{6,}/gi, '***').trim();
  return blotted.length <= MESSAGE_CHARACTERS ? blotted : `${blotted.slice(0, MESSAGE_CHARACTERS - 1)}…`;
};

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const wordOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;

/** Reads `{error:{message,type,code,param}}` and its relatives (`{error:"…"}`, `{message}`, `{detail}`; Anthropic's code is in `details`). */
const wordsOf = (body: unknown, fallback: string): Words => {
  const error = isRecord(body) ? (body['error'] ?? body) : undefined;
  if (typeof error === 'string') return { message: error };
  if (!isRecord(error)) return { message: fallback };
  const code = wordOf(error['code']) ?? (isRecord(error['details']) ? wordOf(error['details']['error_code']) : undefined);
  const type = wordOf(error['type']);
  const param = wordOf(error['param']);
  return {
    message: wordOf(error['message']) ?? wordOf(error['detail']) ?? fallback,
    ...(code !== undefined && { code }),
    ...(type !== undefined && { type }),
    ...(param !== undefined && { param }),
  };
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    // An error page in HTML or plain text: the caller falls back to the text itself.
    return undefined;
  }
};

const QUOTA = /insufficient_quota|credit_balance|billing|spend_limit|hard_limit|payment_required/;
// Anthropic says these under the names of other things.
const QUOTA_MESSAGE = /credit balance is too low|reached your specified (\w+ )?API usage limits/i;
const REFUSED = /content_policy|moderation_blocked|content_filter|safety_violation|safety_system|responsible_?ai/;
const REFUSED_MESSAGE = /safety system|content policy|content management policy|content filtering policy/i;
const CONTEXT = /context_length|context_window|prompt_too_long|string_above_max_length|request_too_large/;
const CONTEXT_MESSAGE =
  /maximum context length|context length exceeded|context window|reduce the length|prompt is too long|request too large|exceed context limit/i;
const MODEL = /model_not_found|model_decommissioned|model_deprecated|model_not_available|model_not_exist|unsupported_model|invalid_model|deploymentnotfound/;
const MODEL_MESSAGE = /\bmodel\b.*(not found|not exist|not supported|not available|no access)|(no such|unknown) model|^model: /i;
const OVERLOADED = /overloaded|capacity_exceeded/;

const isModelMissing = (status: number, { code, param, message }: Words, names: string): boolean =>
  MODEL.test(names) ||
  (status === 404 && (param === 'model' || MODEL_MESSAGE.test(message))) ||
  (status === 400 && param === 'model' && code === 'invalid_value');

// What a status means when the words say nothing more. 408 and 409 count as not done (promise 2).
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'provider_authentication',
  402: 'provider_quota_exhausted',
  403: 'provider_authentication',
  408: 'provider_unavailable',
  409: 'provider_unavailable',
  429: 'provider_rate_limited',
  498: 'provider_overloaded',
  529: 'provider_overloaded',
};

/** Our code for a provider's refusal: first its words, then its status. An error event of a stream has status 200. */
const codeOf = (status: number, words: Words): ErrorCode => {
  const names = `${words.code ?? ''} ${words.type ?? ''}`.toLowerCase();
  const client = status < 500;
  if (client && (QUOTA.test(names) || QUOTA_MESSAGE.test(words.message))) return 'provider_quota_exhausted';
  if (client && (REFUSED.test(names) || (status === 400 && REFUSED_MESSAGE.test(words.message)))) return 'provider_refused';
  if (client && (CONTEXT.test(names) || CONTEXT_MESSAGE.test(words.message))) return 'context_too_long';
  if (client && isModelMissing(status, words, names)) return 'provider_model_missing';
  const byStatus = BY_STATUS[status];
  if (byStatus) return byStatus;
  if (OVERLOADED.test(names)) return 'provider_overloaded';
  if (status >= 500) return 'provider_unavailable';
  if (status >= 300) return 'provider_bad_request';
  return /rate_limit/.test(names) ? 'provider_rate_limited' : /invalid_request/.test(names) ? 'provider_bad_request' : 'provider_unavailable';
};

const SAID: Partial<Record<ErrorCode, (account: Account, said: string) => string>> = {
  provider_quota_exhausted: ({ label }, said) => `The ${label} account has no credit left: ${said}`,
  provider_refused: ({ label }, said) => `${label} refused this request: ${said}`,
};

const authentication = (status: number, { label, keyVariable }: Account, said: string): string =>
  status === 401 ? `${label} does not accept the key in ${keyVariable}.` : `${label} does not allow this to the key in ${keyVariable}: ${said}`;

/** The words of a provider as an AppError; `known` because they say what became of the call. */
const fromWords = (status: number, headers: Headers | undefined, words: Words, account: Account): AppError => {
  const code = codeOf(status, words);
  const said = clean(words.message, account);
  const provider: ProviderFailure = { outcome: 'known', status };
  const name = words.code ?? words.type;
  if (name !== undefined) provider.code = clean(name, account);
  if (words.param !== undefined) provider.param = clean(words.param, account);
  const options: AppErrorOptions = { provider, detail: `${account.label} ${status}: ${said}` };
  const waitMs = headers && status >= 400 ? retryAfterOf(headers) : undefined;
  if (waitMs !== undefined) options.retryAfterMs = waitMs;
  if (code === 'provider_authentication') return new AppError(code, authentication(status, account, said), options);
  const plain = status >= 300 && status < 400 ? `it answered with a redirect (${status}); check its base URL` : said;
  return new AppError(code, SAID[code]?.(account, said) ?? `${account.label}: ${plain}`, options);
};

/** A complete reply that cannot be used. */
export const badResponse = (account: Account, what: string, status = 200): AppError =>
  new AppError('provider_bad_response', `${account.label} answered with ${what}.`, { provider: { outcome: 'known', status } });

/** A complete reply of words instead of the picture or text that was asked for. */
export const refusedInWords = (account: Account, words: string): AppError =>
  new AppError('provider_refused', `${account.label} refused this request: ${clean(words, account)}`, { provider: { outcome: 'known', status: 200 } });

const STOPPED: Record<StopReason, string> = {
  aborted: 'was stopped',
  dropped: 'sent something that cannot be read',
  first_byte: 'did not answer in time',
  idle: 'stopped in the middle of its answer',
  total: 'took too long',
  too_large: 'sent more than a reply may hold',
  sent_twice: 'was about to be asked twice',
};

/** A call that ended without a complete reply. */
const withoutReply = (thrown: unknown, state: CallState, account: Account): AppError => {
  const outcome = state.written ? 'unknown' : 'not_sent';
  const provider: ProviderFailure = { outcome, ...(state.reply && { status: state.reply.status }) };
  const reason = rootMessage(thrown);
  const options = { provider, cause: thrown, detail: clean(reason, account) };
  if (state.stopped === 'aborted') return new AppError('cancelled', `The call to ${account.label} was stopped.`, options);
  if (outcome === 'not_sent') return new AppError('provider_unavailable', `${account.label} cannot be reached.`, options);
  const why = state.stopped ? STOPPED[state.stopped] : 'closed the connection before its answer was complete';
  return new AppError('outcome_unknown', `${account.label} ${why}: what became of the request is not known.`, options);
};

/** SDKs wrap what broke; the innermost message is the one worth logging. */
const rootMessage = (thrown: unknown): string => {
  let at = thrown;
  for (let depth = 0; depth < 5 && at instanceof Error && at.cause instanceof Error; depth++) at = at.cause;
  return at instanceof Error ? at.message : String(at);
};

/** The error object of an error event in a stream, which the SDKs throw as an API error without a status; Anthropic's throws the whole event. */
const eventError = (thrown: unknown): unknown => {
  const error: unknown = isRecord(thrown) || thrown instanceof Error ? Reflect.get(thrown, 'error') : undefined;
  return isRecord(error) && isRecord(error['error']) ? error['error'] : error;
};

/**
 * Whatever a provider call threw, as the AppError it means. `state` decides what is known (promise 2); then the provider's
 * words and status decide the code. An AppError is passed through.
 */
export const toProviderError = (thrown: unknown, state: CallState, account: Account): AppError => {
  if (thrown instanceof AppError) return thrown;
  const { reply } = state;
  if (reply && (reply.status < 200 || reply.status >= 300) && state.complete) {
    const text = reply.text ?? '';
    const fallback = text.startsWith('<') || text.trim() === '' ? `status ${reply.status}` : text;
    return fromWords(reply.status, reply.headers, wordsOf(parseJson(text), fallback), account);
  }
  const event = eventError(thrown);
  // A reply that names its own failure has ended by its own word, whether or not its last byte was read.
  if (reply && event !== undefined && event !== null && (!state.stopped || state.stopped === 'dropped')) {
    const words = wordsOf({ error: event }, 'an error without words');
    // Some servers put the status into the code: the reply itself says 200.
    const status = /^[45]\d\d$/.test(words.code ?? '') ? Number(words.code) : reply.status;
    return fromWords(status, reply.headers, words, account);
  }
  if (!state.complete) return withoutReply(thrown, state, account);
  return new AppError('provider_bad_response', `${account.label} answered with something that is not what its interface promises.`, {
    provider: { outcome: 'known', status: reply?.status ?? 200 },
    cause: thrown,
    detail: clean(rootMessage(thrown), account),
  });
};

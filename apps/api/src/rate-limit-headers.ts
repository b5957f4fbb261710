/** A duration as OpenAI writes it in its headers: `12s`, `1m0s`. */
const goDuration = (seconds: number): string => (seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`);

/**
 * The headers of a key that has a limit of requests per minute: OpenAI's three and those of draft-ietf-httpapi-ratelimit-headers.
 * Also set on the 429 (with `remaining` 0). A key without a limit gets none.
 */
export const rateLimitHeaders = (
  requestsPerMinute: number,
  { remaining, resetSeconds }: { remaining: number; resetSeconds: number },
): Record<string, string> => ({
  'x-ratelimit-limit-requests': String(requestsPerMinute),
  'x-ratelimit-remaining-requests': String(remaining),
  'x-ratelimit-reset-requests': goDuration(resetSeconds),
  RateLimit: `"default";r=${remaining};t=${resetSeconds}`,
  'RateLimit-Policy': `"default";q=${requestsPerMinute};w=60`,
});

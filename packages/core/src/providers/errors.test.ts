import { describe, expect, it } from 'vitest';
import type { CallState } from './call.ts';
import { parseGoDuration, retryAfterOf, toProviderError } from './errors.ts';

const account = { label: 'OpenAI', keyVariable: 'OPENAI_API_KEY', apiKey: 'sk-secret-0123456789' };

const replied = (status: number, body: unknown, headers: Record<string, string> = {}): CallState => ({
  written: true,
  complete: true,
  reply: { status, headers: new Headers(headers), text: typeof body === 'string' ? body : JSON.stringify(body) },
});
const errorOf = (status: number, error: unknown, headers?: Record<string, string>) =>
  toProviderError(new Error('whatever the SDK says'), replied(status, { error }, headers), account);

describe('a complete reply of', () => {
  it.each([
    [400, { code: 'invalid_value', param: 'size', message: 'no' }, 'provider_bad_request', false],
    [400, { code: 'context_length_exceeded' }, 'context_too_long', false],
    [400, { code: 400, message: "This model's maximum context length is 4096 tokens." }, 'context_too_long', false],
    [400, { code: 'model_decommissioned' }, 'provider_model_missing', false],
    [400, { code: 'invalid_value', param: 'model' }, 'provider_model_missing', false],
    [400, { code: 'content_policy_violation' }, 'provider_refused', false],
    [400, { code: 'image_content_policy_violation' }, 'provider_refused', false],
    [400, { code: 'moderation_blocked', type: 'image_generation_user_error' }, 'provider_refused', false],
    [400, { code: 'content_filter' }, 'provider_refused', false],
    [400, { code: null, message: 'Your request was rejected as a result of our safety system.' }, 'provider_refused', false],
    [400, { code: 'billing_hard_limit_reached' }, 'provider_quota_exhausted', false],
    [401, { code: 'invalid_api_key' }, 'provider_authentication', false],
    [402, { message: 'pay' }, 'provider_quota_exhausted', false],
    [403, { message: 'not from here' }, 'provider_authentication', false],
    [403, { code: 'model_not_found' }, 'provider_model_missing', false],
    [404, { code: 'model_not_found' }, 'provider_model_missing', false],
    [404, { message: 'The model `x` does not exist' }, 'provider_model_missing', false],
    [404, { message: 'Unknown request URL' }, 'provider_bad_request', false],
    [408, {}, 'provider_unavailable', true],
    [409, {}, 'provider_unavailable', true],
    [413, { code: 'rate_limit_exceeded', message: 'Request too large for model' }, 'context_too_long', false],
    [422, { message: 'bad field' }, 'provider_bad_request', false],
    [429, { code: 'rate_limit_exceeded' }, 'provider_rate_limited', true],
    [429, { code: 'insufficient_quota' }, 'provider_quota_exhausted', false],
    [429, { type: 'insufficient_quota' }, 'provider_quota_exhausted', false],
    [429, { code: 'credit_balance_exhausted' }, 'provider_quota_exhausted', false],
    [429, { code: 'rate_limit_exceeded', message: 'Request too large for gpt-4o: Limit 30000, Requested 40000' }, 'context_too_long', false],
    [498, { code: 'capacity_exceeded' }, 'provider_overloaded', true],
    [500, {}, 'provider_unavailable', true],
    [500, { code: 'content_policy_violation' }, 'provider_unavailable', true],
    [502, {}, 'provider_unavailable', true],
    [503, { type: 'overloaded_error' }, 'provider_overloaded', true],
    [504, {}, 'provider_unavailable', true],
    [529, { type: 'overloaded_error' }, 'provider_overloaded', true],
    // Anthropic's words.
    [400, { type: 'invalid_request_error', message: 'prompt is too long: 1200000 tokens > 1000000 maximum' }, 'context_too_long', false],
    [400, { type: 'invalid_request_error', message: 'input length and `max_tokens` exceed context limit: 1 + 2 > 2' }, 'context_too_long', false],
    [400, { type: 'invalid_request_error', message: 'Your credit balance is too low to access the Anthropic API.' }, 'provider_quota_exhausted', false],
    [400, { type: 'invalid_request_error', message: 'You have reached your specified API usage limits.' }, 'provider_quota_exhausted', false],
    [400, { type: 'invalid_request_error', message: 'Output blocked by content filtering policy' }, 'provider_refused', false],
    [400, { type: 'invalid_request_error', message: 'thinking: no such field' }, 'provider_bad_request', false],
    [402, { type: 'billing_error', message: 'pay' }, 'provider_quota_exhausted', false],
    [404, { type: 'not_found_error', message: 'model: claude-3-5-sonnet-20241022' }, 'provider_model_missing', false],
    [413, { type: 'request_too_large', message: 'Request exceeds the maximum size' }, 'context_too_long', false],
    [429, { type: 'rate_limit_error', message: 'This request would exceed your rate limit' }, 'provider_rate_limited', true],
    [429, { type: 'rate_limit_error', message: 'no', details: { error_code: 'enforced_spend_limit_reached' } }, 'provider_quota_exhausted', false],
    [500, { type: 'api_error', message: 'Internal server error' }, 'provider_unavailable', true],
    [504, { type: 'timeout_error' }, 'provider_unavailable', true],
  ])('%i %o is %s (retryable: %s)', (status, error, code, retryable) => {
    expect(errorOf(status, error)).toMatchObject({ code, retryable, provider: { outcome: 'known', status } });
  });

  it("keeps the provider's own code, param and message", () => {
    const error = errorOf(400, { code: 'invalid_value', param: 'size', message: 'Size is not supported.' });
    expect(error.message).toBe('OpenAI: Size is not supported.');
    expect(error.provider).toEqual({ outcome: 'known', status: 400, code: 'invalid_value', param: 'size' });
  });

  it('names the variable of a key that is not accepted and keeps the key itself out', () => {
    const error = errorOf(401, { message: `Incorrect API key provided: ${account.apiKey}` });
    expect(error.message).toBe('OpenAI does not accept the key in OPENAI_API_KEY.');
    expect(error.detail).not.toContain('secret');
  });

  it('shortens a long message and leaves a page out', () => {
    expect(errorOf(400, { message: 'x'.repeat(5000) }).message.length).toBeLessThan(320);
    expect(toProviderError(undefined, replied(502, '<html><body>Bad gateway'), account).message).toBe('OpenAI: status 502');
  });

  it.each([
    ['an error string', { error: 'model is loading' }, 'OpenAI: model is loading'],
    ['a bare message', { message: 'no route' }, 'OpenAI: no route'],
    ['a detail', { detail: 'bad field' }, 'OpenAI: bad field'],
    ['plain text', 'upstream is away', 'OpenAI: upstream is away'],
    ['nothing', '', 'OpenAI: status 503'],
  ])('reads %s', (_name, body, message) => {
    expect(toProviderError(undefined, replied(503, body), account).message).toBe(message);
  });
});

describe('a call without a complete reply', () => {
  const thrown = new Error('Connection error.', { cause: new Error('read ECONNRESET') });
  it.each([
    ['not written', { written: false, complete: false }, 'provider_unavailable', 'not_sent'],
    ['written', { written: true, complete: false }, 'outcome_unknown', 'unknown'],
    ['timed out', { written: true, complete: false, stopped: 'first_byte' }, 'outcome_unknown', 'unknown'],
    ['stopped by us before it was written', { written: false, complete: false, stopped: 'aborted' }, 'cancelled', 'not_sent'],
    ['stopped by us after it was written', { written: true, complete: false, stopped: 'aborted' }, 'cancelled', 'unknown'],
  ] satisfies [string, CallState, string, string][])('that was %s is %s', (_name, state, code, outcome) => {
    expect(toProviderError(thrown, state, account)).toMatchObject({ code, provider: { outcome }, detail: 'read ECONNRESET' });
  });

  it('is unknown even if the head of an error reply came', () => {
    const state: CallState = { written: true, complete: false, reply: { status: 500, headers: new Headers() } };
    expect(toProviderError(thrown, state, account)).toMatchObject({ code: 'outcome_unknown', provider: { outcome: 'unknown', status: 500 } });
  });
});

it('calls a complete 200 that cannot be read a bad response', () => {
  expect(toProviderError(new SyntaxError('Unexpected token'), replied(200, ''), account)).toMatchObject({
    code: 'provider_bad_response',
    provider: { outcome: 'known' },
  });
});

describe('how long to wait', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  it.each([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': 'Sun, 22 Nov 2026 12:00:30 GMT' }, 30_000],
    [{ 'retry-after-ms': '120', 'retry-after': '9' }, 120],
    [{ 'retry-after': '9', 'x-ratelimit-reset-requests': '1s' }, 9000],
    [{ 'x-ratelimit-reset-requests': '1s', 'x-ratelimit-reset-tokens': '6m0s' }, 360_000],
    [
      { 'x-ratelimit-reset-requests': '2h', 'x-ratelimit-remaining-requests': '40', 'x-ratelimit-reset-tokens': '3s', 'x-ratelimit-remaining-tokens': '0' },
      3000,
    ],
    [{ 'anthropic-ratelimit-requests-reset': '2026-11-22T12:00:07Z', 'anthropic-ratelimit-requests-remaining': '0' }, 7000],
    [{ 'anthropic-ratelimit-tokens-reset': '2026-11-22T11:00:00Z', 'anthropic-ratelimit-tokens-remaining': '0' }, 0],
    [{ 'anthropic-ratelimit-output-tokens-reset': 'soon', 'anthropic-ratelimit-output-tokens-remaining': '0' }, undefined],
    [{ 'anthropic-ratelimit-input-tokens-reset': '2026-11-22T12:00:30Z', 'anthropic-ratelimit-input-tokens-remaining': '90' }, undefined],
    [{ 'retry-after': '99999999' }, 86_400_000],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
  ])('%o → %s ms', (headers, waitMs) => {
    expect(retryAfterOf(new Headers(headers as Record<string, string>), now)).toBe(waitMs);
  });

  it.each([
    ['1s', 1000],
    ['6m0s', 360_000],
    ['120ms', 120],
    ['7.66s', 7660],
    ['1h2m3.5s', 3_723_500],
    ['', undefined],
    ['5', undefined],
    ['1d', undefined],
    ['1s!', undefined],
  ])('reads the Go duration %j as %s ms', (text, ms) => {
    expect(parseGoDuration(text)).toBe(ms);
  });
});

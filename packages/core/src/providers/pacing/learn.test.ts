import { describe, expect, it } from 'vitest';
import { learnFrom } from './learn.ts';

const headers = (fields: Record<string, string>): Headers => new Headers(Object.entries(fields).map(([name, value]) => [`x-ratelimit-${name}`, value]));

describe('the headers of a good reply', () => {
  it.each([
    ['openai', { 'limit-requests': '500', 'remaining-requests': '499', 'reset-requests': '120ms' }, { requestsPerMinute: 500 }],
    // 200 a day: what was asked for comes back in more than a minute.
    ['openai', { 'limit-requests': '200', 'remaining-requests': '199', 'reset-requests': '7m12s' }, {}],
    ['openai', { 'limit-requests': '500' }, {}],
    ['openai', { 'limit-requests': 'many', 'reset-requests': '1s' }, {}],
    // Groq's requests are those of a day.
    ['groq', { 'limit-requests': '14400', 'remaining-requests': '14399', 'reset-requests': '6s', 'limit-tokens': '18000', 'reset-tokens': '10ms' }, {}],
    ['groq', { 'remaining-requests': '100', 'reset-requests': '2m', 'remaining-tokens': '0', 'reset-tokens': '7.66s' }, { pauseMs: 7660 }],
    ['groq', { 'remaining-requests': '0', 'reset-requests': '23h59m', 'remaining-tokens': '0', 'reset-tokens': '1s' }, { pauseMs: 60_000 }],
    ['openai', { 'limit-requests': '3', 'remaining-requests': '0', 'reset-requests': '20s' }, { pauseMs: 20_000, requestsPerMinute: 3 }],
    ['openai', { 'remaining-requests': '0' }, {}],
    ['openai', {}, {}],
  ] as const)('of %s: %o teach %o', (provider, fields, learned) => {
    expect(learnFrom(provider, headers(fields))).toEqual(learned);
  });

  const moments = (fields: Record<string, string>): Headers =>
    new Headers(Object.entries(fields).map(([name, value]) => [`anthropic-ratelimit-${name}`, value]));
  it.each([
    [{ 'requests-limit': '50', 'requests-remaining': '49', 'requests-reset': '2026-11-22T12:00:01Z' }, { requestsPerMinute: 50 }],
    [
      {
        'requests-limit': '50',
        'requests-remaining': '0',
        'requests-reset': '2026-11-22T12:00:20Z',
        'tokens-remaining': '0',
        'tokens-reset': '2026-11-22T12:00:09Z',
      },
      { requestsPerMinute: 50, pauseMs: 20_000 },
    ],
    [{ 'output-tokens-remaining': '0', 'output-tokens-reset': '2026-11-22T13:00:00Z' }, { pauseMs: 60_000 }],
    [{ 'input-tokens-limit': '30000', 'input-tokens-remaining': '29000', 'input-tokens-reset': '2026-11-22T12:00:02Z' }, {}],
    [{ 'requests-limit': '50' }, {}],
  ])('of Anthropic, which tells moments: %o teach %o', (fields, learned) => {
    expect(learnFrom('anthropic', moments(fields as Record<string, string>), Date.parse('2026-11-22T12:00:00Z'))).toEqual(learned);
  });
});

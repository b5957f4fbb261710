import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from './config.ts';

const SETTINGS = { REDIS_URL: 'redis://127.0.0.1:1', FANA_ADMIN_KEY: 'a'.repeat(40), FANA_SIGNING_SECRET: 's'.repeat(40) };
const limits = (text: string) => loadConfig({ ...SETTINGS, FANA_PROVIDER_LIMITS: text }).pacing.limits;
const problems = (text: string): string[] => {
  try {
    limits(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe('FANA_PROVIDER_LIMITS', () => {
  it('names limits by provider and model, and * for every other one', () => {
    expect(limits('{"openai":{"gpt-image-2":{"images_per_minute":600},"*":{"requests_per_minute":0.5}},"groq":{}}')).toEqual({
      openai: { 'gpt-image-2': { imagesPerMinute: 600 }, '*': { requestsPerMinute: 0.5 } },
      groq: {},
    });
    expect(limits('')).toEqual({});
    expect(loadConfig(SETTINGS).pacing.limits).toEqual({});
  });

  it.each([
    ['600 a minute', ['must be JSON']],
    ['[]', ['must be an object']],
    ['{"openia":{}}', ['does not know openia']],
    ['{"openai":{"m":{"images_per_second":1}}}', ['does not know openai.m.images_per_second']],
    ['{"openai":{"m":{"images_per_minute":-1}}}', ['openai.m.images_per_minute must be above 0']],
    ['{"openai":{"m":{"images_per_minute":0}}}', ['openai.m.images_per_minute must be above 0']],
    ['{"openai":{"m":{"images_per_minute":"600"}}}', ['openai.m.images_per_minute must be a number']],
    ['{"openai":{"m":600}}', ['openai.m must be an object']],
    ['{"groq":1,"openai":{"m":{"requests_per_minute":null}}}', ['groq must be an object', 'openai.m.requests_per_minute must be a number']],
  ])('%s is a bad setting, and says where', (text, said) => {
    expect(problems(text)).toEqual(said.map((problem) => `FANA_PROVIDER_LIMITS ${problem}`));
  });
});

import OpenAI from 'openai';
import type { CallState, Limits } from '../call.ts';
import type { Account } from '../errors.ts';
import { CHAT_LIMITS, EMBEDDING_LIMITS, imageLimits } from '../limits.ts';
import type { CallOptions } from '../provider.ts';
import type { Upstream } from '../upstream.ts';

export type OpenaiSettings = { apiKey: string; baseUrl?: string | undefined };

/** Limits that tests shorten. */
export type ProviderLimits = { chat: Limits; image: (n: number) => Limits; embedding: Limits };
/** What calls to OpenAI may take, by their kind. */
export const DEFAULT_LIMITS: ProviderLimits = { chat: CHAT_LIMITS, image: imageLimits, embedding: EMBEDDING_LIMITS };

/** An OpenAI account, or one of a compatible server: `begin` gives a client for one call that goes through our upstream. */
export type OpenaiAccount = Account & {
  limits: ProviderLimits;
  upstream: Upstream;
  begin: (limits: Limits, options: CallOptions) => { client: OpenAI; state: CallState };
};

/** The SDK's own limit is out of the way: ours are in the upstream. */
const SDK_TIMEOUT_MS = 3_600_000;

/** Opens the account; nothing is sent. */
export const createAccount = ({ apiKey, baseUrl }: OpenaiSettings, upstream: Upstream, limits: ProviderLimits): OpenaiAccount => {
  // Everything the SDK would read from the environment is said here.
  const base = new OpenAI({
    apiKey,
    baseURL: baseUrl ?? 'https://api.openai.com/v1',
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    maxRetries: 0,
    timeout: SDK_TIMEOUT_MS,
    logLevel: 'off',
  });
  return {
    label: 'OpenAI',
    keyVariable: 'OPENAI_API_KEY',
    apiKey,
    limits,
    upstream,
    begin(callLimits, options) {
      const { fetch, state } = upstream.begin(callLimits, options);
      return { client: base.withOptions({ fetch }), state };
    },
  };
};

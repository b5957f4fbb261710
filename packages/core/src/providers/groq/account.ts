import Groq from 'groq-sdk';
import type { CallState, Limits } from '../call.ts';
import type { Account } from '../errors.ts';
import type { CallOptions } from '../provider.ts';
import type { Upstream } from '../upstream.ts';

export type GroqSettings = { apiKey: string; baseUrl?: string | undefined };

/** A Groq account: `begin` gives a client for one call that goes through our upstream. */
export type GroqAccount = Account & { begin: (options: CallOptions) => { client: Groq; state: CallState } };

/** The SDK's own limit is out of the way: ours are in the upstream. */
const SDK_TIMEOUT_MS = 3_600_000;

/** The SDK adds `/openai/v1` itself; a base URL that ends in it, as other clients take it, is understood too. */
export const createAccount = ({ apiKey, baseUrl }: GroqSettings, upstream: Upstream, limits: Limits): GroqAccount => {
  const base = new Groq({
    apiKey,
    baseURL: (baseUrl ?? 'https://api.groq.com').replace(/\/openai\/v1$/, ''),
    maxRetries: 0,
    timeout: SDK_TIMEOUT_MS,
    logLevel: 'off',
  });
  return {
    label: 'Groq',
    keyVariable: 'GROQ_API_KEY',
    apiKey,
    begin(options) {
      const { fetch, state } = upstream.begin(limits, options);
      return { client: base.withOptions({ fetch }), state };
    },
  };
};

import Anthropic from '@anthropic-ai/sdk';
import type { CallState, Limits } from '../call.ts';
import type { Account } from '../errors.ts';
import type { CallOptions } from '../provider.ts';
import type { Upstream } from '../upstream.ts';

export type AnthropicSettings = { apiKey: string; baseUrl?: string | undefined };

/** An Anthropic account: `begin` gives a client for one call that goes through our upstream. */
export type AnthropicAccount = Account & { begin: (options: CallOptions) => { client: Anthropic; state: CallState } };

/** The SDK's own limit is out of the way: ours are in the upstream. */
const SDK_TIMEOUT_MS = 3_600_000;

/** The SDK adds `/v1` itself; a base URL that ends in it, as other clients take it, is understood too. */
export const createAccount = ({ apiKey, baseUrl }: AnthropicSettings, upstream: Upstream, limits: Limits): AnthropicAccount => {
  // Everything the SDK would read from the environment is said here.
  const base = new Anthropic({
    apiKey,
    baseURL: (baseUrl ?? 'https://api.anthropic.com').replace(/\/v1$/, ''),
    // The SDK says the key as a bearer's token; servers made for those before it look for it here.
    ...(baseUrl !== undefined && { defaultHeaders: { 'x-api-key': apiKey } }),
    webhookKey: null,
    maxRetries: 0,
    timeout: SDK_TIMEOUT_MS,
    logLevel: 'off',
    openTelemetry: false,
  });
  return {
    label: 'Anthropic',
    keyVariable: 'ANTHROPIC_API_KEY',
    apiKey,
    begin(options) {
      const { fetch, state } = upstream.begin(limits, options);
      return { client: base.withOptions({ fetch }), state };
    },
  };
};

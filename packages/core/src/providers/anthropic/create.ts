import type { Limits } from '../call.ts';
import { CHAT_LIMITS } from '../limits.ts';
import type { Provider } from '../provider.ts';
import type { Upstream } from '../upstream.ts';
import { type AnthropicSettings, createAccount } from './account.ts';
import { anthropicChat } from './chat.ts';

/** Anthropic: chat and vision, under `<baseUrl>/v1/messages`. */
export const createAnthropic = (settings: AnthropicSettings, upstream: Upstream, limits: Limits = CHAT_LIMITS): Provider => {
  const account = createAccount(settings, upstream, limits);
  return { name: 'anthropic', chat: (request, options) => anthropicChat(account, request, options) };
};

import type { Limits } from '../call.ts';
import { CHAT_LIMITS } from '../limits.ts';
import type { Provider } from '../provider.ts';
import type { Upstream } from '../upstream.ts';
import { createAccount, type GroqSettings } from './account.ts';
import { groqChat } from './chat.ts';

/** Groq: chat alone, under `<baseUrl>/openai/v1/chat/completions`. */
export const createGroq = (settings: GroqSettings, upstream: Upstream, limits: Limits = CHAT_LIMITS): Provider => {
  const account = createAccount(settings, upstream, limits);
  return { name: 'groq', chat: (request, options) => groqChat(account, request, options) };
};

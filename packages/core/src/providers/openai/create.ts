import type { Provider } from '../provider.ts';
import type { Upstream } from '../upstream.ts';
import { createAccount, DEFAULT_LIMITS, type OpenaiSettings, type ProviderLimits } from './account.ts';
import { openaiChat } from './chat.ts';
import { openaiEmbed } from './embedding.ts';
import { openaiImage } from './image.ts';

/** OpenAI, or any server that speaks its interface under `baseUrl`. */
export const createOpenai = (settings: OpenaiSettings, upstream: Upstream, limits: ProviderLimits = DEFAULT_LIMITS): Provider => {
  const account = createAccount(settings, upstream, limits);
  return {
    name: 'openai',
    chat: (request, options) => openaiChat(account, request, options),
    image: (request, options) => openaiImage(account, request, options),
    embed: (request, options) => openaiEmbed(account, request, options),
  };
};

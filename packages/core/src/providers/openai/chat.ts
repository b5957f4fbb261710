import type OpenAI from 'openai';
import { readChatStream, toWireMessages } from '../chat-stream.ts';
import { toProviderError } from '../errors.ts';
import { familyOf } from '../models.ts';
import { translateParameters } from '../parameters.ts';
import type { CallOptions, ChatRequest, ChatResult } from '../provider.ts';
import type { OpenaiAccount } from './account.ts';

/** One `POST /chat/completions`, streamed. See `Provider.chat` for what it throws. */
export const openaiChat = async (account: OpenaiAccount, request: ChatRequest, options: CallOptions): Promise<ChatResult> => {
  const parameters = translateParameters(familyOf('openai', request.model, 'any-chat'), request.model, request.parameters);
  const { client, state } = account.begin(account.limits.chat, options);
  try {
    const body: OpenAI.ChatCompletionCreateParamsStreaming = {
      ...parameters,
      model: request.model,
      messages: toWireMessages(request.messages) as OpenAI.ChatCompletionMessageParam[],
      stream: true,
      stream_options: { include_usage: true },
    };
    const chunks = await client.chat.completions.create(body);
    return await readChatStream(chunks, { account, state, request, options });
  } catch (thrown) {
    throw toProviderError(thrown, state, account);
  }
};

import type { ChatCompletionCreateParamsStreaming, ChatCompletionMessageParam } from 'groq-sdk/resources/chat/completions';
import { readChatStream, toWireMessages } from '../chat-stream.ts';
import { toProviderError } from '../errors.ts';
import { familyOf } from '../models.ts';
import { translateParameters } from '../parameters.ts';
import type { CallOptions, ChatRequest, ChatResult } from '../provider.ts';
import type { GroqAccount } from './account.ts';

/** Groq reports usage in `x_groq` anyway; this is the form its interface shares with OpenAI's, which the SDK's types do not list. */
const WITH_USAGE = { stream_options: { include_usage: true } };

/** One `POST /openai/v1/chat/completions`, streamed. See `Provider.chat` for what it throws. */
export const groqChat = async (account: GroqAccount, request: ChatRequest, options: CallOptions): Promise<ChatResult> => {
  const parameters = translateParameters(familyOf('groq', request.model, 'any-chat'), request.model, request.parameters);
  const { client, state } = account.begin(options);
  try {
    const body: ChatCompletionCreateParamsStreaming = {
      ...parameters,
      ...WITH_USAGE,
      model: request.model,
      messages: toWireMessages(request.messages, 'system') as ChatCompletionMessageParam[],
      stream: true,
    };
    const chunks = await client.chat.completions.create(body);
    return await readChatStream(chunks, { account, state, request, options });
  } catch (thrown) {
    throw toProviderError(thrown, state, account);
  }
};

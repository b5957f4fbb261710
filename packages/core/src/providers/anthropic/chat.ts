import type Anthropic from '@anthropic-ai/sdk';
import { toProviderError } from '../errors.ts';
import { familyOf, modelOf } from '../models.ts';
import { translateParameters } from '../parameters.ts';
import type { CallOptions, ChatRequest, ChatResult } from '../provider.ts';
import type { AnthropicAccount } from './account.ts';
import { toClaudeMessages } from './messages.ts';
import { readClaudeStream } from './stream.ts';

type Fields = Record<string, unknown>;

/**
 * Claude wants to be told how long an answer may get. What a model thinks counts, so it must not be little; an account's output tokens a
 * minute are reserved by it, so it must not be all a model could say either.
 */
const DEFAULT_MAX_TOKENS = 16_384;
/** What the oldest models put out at most. */
const LEAST_MAX_TOKENS = 4096;

const defaultMaxTokens = (model: string): number => Math.min(DEFAULT_MAX_TOKENS, modelOf(model)?.maxOutputTokens ?? LEAST_MAX_TOKENS);

/** Without tools there is nothing to choose, and Claude refuses to hear of it; one that is forced all the same is for Claude to refuse. */
const toolChoice = (choice: unknown, isSerial: unknown, hasTools: boolean): Fields => {
  const said = (choice ?? { type: 'auto' }) as Fields;
  if (!hasTools) return said['type'] === 'auto' || said['type'] === 'none' ? {} : { tool_choice: said };
  if (isSerial === true && said['type'] !== 'none') return { tool_choice: { ...said, disable_parallel_tool_use: true } };
  return choice === undefined ? {} : { tool_choice: said };
};

/** The parameters in the places that `POST /v1/messages` has for them. */
const toWireParameters = ({ model, parameters }: ChatRequest): Fields => {
  const { choice, isSerial, effort, format, ...said } = translateParameters(familyOf('anthropic', model, 'claude-any'), model, parameters);
  return {
    max_tokens: defaultMaxTokens(model),
    ...said,
    ...toolChoice(choice, isSerial, said['tools'] !== undefined),
    ...((effort !== undefined || format !== undefined) && {
      output_config: { ...(effort !== undefined && { effort }), ...(format !== undefined && { format }) },
    }),
  };
};

/** The interface of 2026-10-21 has none of these on any model; models that had them still take them by the version of before. */
const SAMPLING = ['temperature', 'top_p', 'top_k'];
const VERSION_WITH_SAMPLING = { 'anthropic-version': '2023-06-01' };

/** One `POST /v1/messages`, streamed. See `Provider.chat` for what it throws. */
export const anthropicChat = async (account: AnthropicAccount, request: ChatRequest, options: CallOptions): Promise<ChatResult> => {
  const parameters = toWireParameters(request);
  const said = toClaudeMessages(request.model, request.messages);
  const { client, state } = account.begin(options);
  try {
    const body = { ...parameters, ...said, model: request.model, stream: true } as Anthropic.MessageCreateParamsStreaming;
    const isSampled = SAMPLING.some((name) => parameters[name] !== undefined);
    const events = await client.messages.create(body, isSampled ? { headers: VERSION_WITH_SAMPLING } : {});
    return await readClaudeStream(events, { account, state, request, options });
  } catch (thrown) {
    throw toProviderError(thrown, state, account);
  }
};

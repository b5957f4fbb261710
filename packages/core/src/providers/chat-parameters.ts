import { as, keepAll, NOTHING, oneOf, only, type Rule, type Rules, sameWords } from './parameter-rules.ts';

/** Chat models that take the same parameters in the same words. */
export type ChatFamily =
  | 'any-chat'
  | 'simulated-chat'
  | 'openai-chat'
  | 'openai-plain'
  | 'openai-vision-preview'
  | 'openai-reasoning'
  | 'groq-gpt-oss'
  | 'groq-qwen'
  | 'groq-llama';

const SAMPLING = keepAll('temperature', 'top_p', 'stop', 'seed');
const PENALTIES = keepAll('frequency_penalty', 'presence_penalty');
const NO_PENALTIES: Rules = { frequency_penalty: only(0), presence_penalty: only(0) };
const MAX_COMPLETION: Rules = { max_tokens: as('max_completion_tokens') };
const NO_REASONING: Rules = { reasoning_effort: only('none') };
const TOOLS = keepAll('tools', 'tool_choice', 'parallel_tool_calls', 'functions', 'function_call', 'response_format');

const textOnly: Rule = (value) => (Array.isArray(value) && value.length === 1 && value[0] === 'text' ? NOTHING : undefined);
const nothingIn: Rule = (value) => (typeof value === 'object' && value !== null && Object.keys(value).length === 0 ? NOTHING : undefined);

const LOGPROBS = keepAll('logprobs', 'top_logprobs', 'logit_bias');
const NO_LOGPROBS: Rules = { logprobs: only(false), top_logprobs: only(0), logit_bias: nothingIn };

/** What every OpenAI chat model is told; no model of the catalogue speaks, so `audio` is not among it. */
const OPENAI: Rules = {
  ...TOOLS,
  ...MAX_COMPLETION,
  ...keepAll('n', 'user', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention', 'prompt_cache_options'),
  ...keepAll('store', 'metadata', 'service_tier', 'moderation', 'web_search_options'),
  modalities: textOnly,
};

/** console.groq.com/docs/openai and the API reference: what it answers 400 for is refused here, by name. */
const GROQ: Rules = {
  ...SAMPLING,
  ...TOOLS,
  ...MAX_COMPLETION,
  ...NO_PENALTIES,
  ...NO_LOGPROBS,
  // Groq's own, which groq-sdk may send.
  ...keepAll('reasoning_format', 'include_reasoning', 'disable_tool_validation', 'documents', 'citation_options', 'search_settings'),
  ...keepAll('include_domains', 'exclude_domains', 'compound_custom', 'user'),
  // OpenAI's newer word for the same thing.
  safety_identifier: as('user'),
  n: only(1),
  store: only(false),
  modalities: textOnly,
  service_tier: oneOf('service_tier', { ...sameWords('auto', 'on_demand', 'flex', 'performance'), default: 'on_demand' }),
};

/** How a simulated answer was chosen cannot be seen in it; what could be seen is done or refused. */
const UNSEEN = keepAll('temperature', 'top_p', 'seed', 'frequency_penalty', 'presence_penalty', 'reasoning_effort', 'verbosity', 'parallel_tool_calls');
const UNSEEN_ACCOUNT = keepAll('user', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention', 'prompt_cache_options', 'prediction');

const OPENAI_PLAIN: Rules = { ...OPENAI, ...SAMPLING, ...PENALTIES, ...LOGPROBS, ...NO_REASONING, ...keepAll('prediction'), verbosity: only('medium') };

/** The parameters of each family of chat models. */
export const CHAT_FAMILIES: Readonly<Record<ChatFamily, Rules>> = {
  // A server we know nothing of is told everything, in OpenAI's first words (parameters.ts).
  'any-chat': {},
  'simulated-chat': {
    ...UNSEEN,
    ...UNSEEN_ACCOUNT,
    ...NO_LOGPROBS,
    ...keepAll('n', 'stop', 'max_tokens', 'tools', 'tool_choice', 'response_format'),
    store: only(false),
    service_tier: only('auto', 'default', 'on_demand'),
    modalities: textOnly,
  },
  'openai-chat': { ...OPENAI, ...SAMPLING, ...PENALTIES, ...LOGPROBS, ...keepAll('reasoning_effort', 'verbosity', 'prediction') },
  'openai-plain': OPENAI_PLAIN,
  // GPT-4V is from before the newer word for the limit of an answer.
  'openai-vision-preview': { ...OPENAI_PLAIN, ...keepAll('max_tokens') },
  'openai-reasoning': {
    ...OPENAI,
    ...NO_PENALTIES,
    ...NO_LOGPROBS,
    ...keepAll('stop', 'seed', 'reasoning_effort', 'verbosity'),
    temperature: only(1),
    top_p: only(1),
  },
  'groq-gpt-oss': {
    ...GROQ,
    // It cannot be told not to reason: `none` is refused by the provider, so the least it can do is asked for.
    reasoning_effort: oneOf('reasoning_effort', { ...sameWords('low', 'medium', 'high'), none: 'low', minimal: 'low', xhigh: 'high' }),
  },
  'groq-qwen': {
    ...GROQ,
    reasoning_effort: oneOf('reasoning_effort', {
      ...sameWords('none', 'default'),
      minimal: 'default',
      low: 'default',
      medium: 'default',
      high: 'default',
      xhigh: 'default',
    }),
  },
  'groq-llama': { ...GROQ, ...NO_REASONING },
};

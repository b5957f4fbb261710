import { AppError } from '../errors.ts';

/** Models that take the same parameters in the same words. */
export type ParameterFamily =
  | 'any-chat'
  | 'any-image'
  | 'openai-chat'
  | 'openai-plain'
  | 'openai-reasoning'
  | 'groq-gpt-oss'
  | 'groq-qwen'
  | 'groq-llama'
  | 'gpt-image-2'
  | 'gpt-image-2.5'
  | 'gpt-image-1'
  | 'dall-e-3'
  | 'dall-e-2'
  | 'anthropic';

/** The words a provider uses for one parameter, or `undefined`: this model cannot do it. */
type Rule = (value: unknown) => Record<string, unknown> | undefined;
type Rules = Readonly<Record<string, Rule>>;

const NOTHING = {};

const as =
  (name: string): Rule =>
  (value) => ({ [name]: value });
/** Values in our words → the provider's; a value that is not listed is refused. */
const oneOf =
  (name: string, words: Readonly<Record<string, string>>): Rule =>
  (value) =>
    typeof value === 'string' && words[value] !== undefined ? { [name]: words[value] } : undefined;
/** Asks for what the model does anyway, so it is left out; anything else is refused. */
const only =
  (...values: unknown[]): Rule =>
  (value) =>
    values.includes(value) ? NOTHING : undefined;
const sameWords = (...words: string[]): Record<string, string> => Object.fromEntries(words.map((word) => [word, word]));

const keepAll = (...names: string[]): Rules => Object.fromEntries(names.map((name) => [name, as(name)]));

const SAMPLING = keepAll('temperature', 'top_p', 'stop', 'seed');
const PENALTIES = keepAll('frequency_penalty', 'presence_penalty');
const NO_PENALTIES: Rules = { frequency_penalty: only(0), presence_penalty: only(0) };
const MAX_COMPLETION: Rules = { max_tokens: as('max_completion_tokens') };
const NO_REASONING: Rules = { reasoning_effort: only('none') };

const GPT_IMAGE: Rules = {
  size: as('size'),
  n: as('n'),
  quality: oneOf('quality', { ...sameWords('low', 'medium', 'high', 'auto'), standard: 'medium', hd: 'high' }),
  background: as('background'),
  output_format: as('output_format'),
  output_compression: as('output_compression'),
  moderation: as('moderation'),
  // Gone as a parameter; its vendor's advice is to say it in the prompt, so that old code keeps its look.
  style: oneOf('promptSuffix', {
    vivid: 'Style: vivid, hyper-real and dramatic.',
    natural: 'Style: natural, not hyper-real.',
  }),
};

// Parameters DALL·E never had: only the value that describes what it does anyway is accepted.
const NOT_IN_DALL_E: Rules = { background: only('auto', 'opaque'), output_format: only('png'), moderation: only('auto') };

const FAMILIES: Readonly<Record<ParameterFamily, Rules>> = {
  // A server we know nothing of: everything is passed in OpenAI's first words, and it refuses what it does not know.
  'any-chat': { ...SAMPLING, ...PENALTIES, ...keepAll('max_tokens', 'reasoning_effort') },
  'any-image': keepAll('size', 'n', 'quality', 'style', 'background', 'output_format', 'output_compression', 'moderation'),
  'openai-chat': { ...SAMPLING, ...PENALTIES, ...MAX_COMPLETION, ...keepAll('reasoning_effort') },
  'openai-plain': { ...SAMPLING, ...PENALTIES, ...MAX_COMPLETION, ...NO_REASONING },
  'openai-reasoning': { ...keepAll('stop', 'seed', 'reasoning_effort'), ...MAX_COMPLETION, ...NO_PENALTIES, temperature: only(1), top_p: only(1) },
  'groq-gpt-oss': {
    ...SAMPLING,
    ...NO_PENALTIES,
    ...MAX_COMPLETION,
    // It cannot be told not to reason: `none` is refused by the provider, so the least it can do is asked for.
    reasoning_effort: oneOf('reasoning_effort', { ...sameWords('low', 'medium', 'high'), none: 'low', minimal: 'low', xhigh: 'high' }),
  },
  'groq-qwen': {
    ...SAMPLING,
    ...NO_PENALTIES,
    ...MAX_COMPLETION,
    reasoning_effort: oneOf('reasoning_effort', { none: 'none', minimal: 'default', low: 'default', medium: 'default', high: 'default', xhigh: 'default' }),
  },
  'groq-llama': { ...SAMPLING, ...NO_PENALTIES, ...MAX_COMPLETION, ...NO_REASONING },
  'gpt-image-2': GPT_IMAGE,
  'gpt-image-2.5': {
    ...GPT_IMAGE,
    quality: oneOf('quality', { ...sameWords('low', 'medium', 'high', 'auto', 'xhigh', 'max'), standard: 'medium', hd: 'high' }),
  },
  'gpt-image-1': { ...GPT_IMAGE, size: oneOf('size', sameWords('1024x1024', '1536x1024', '1024x1536', 'auto')) },
  'dall-e-3': {
    ...NOT_IN_DALL_E,
    size: (value) => (value === 'auto' ? NOTHING : oneOf('size', sameWords('1024x1024', '1792x1024', '1024x1792'))(value)),
    n: only(1),
    quality: (value) =>
      value === 'auto' ? NOTHING : oneOf('quality', { ...sameWords('standard', 'hd'), low: 'standard', medium: 'standard', high: 'hd' })(value),
    style: as('style'),
  },
  'dall-e-2': {
    ...NOT_IN_DALL_E,
    size: (value) => (value === 'auto' ? NOTHING : oneOf('size', sameWords('256x256', '512x512', '1024x1024'))(value)),
    n: as('n'),
    quality: only('standard', 'auto'),
  },
  anthropic: {},
};

/**
 * Says `parameters` (those of the job type's schema) in the words of a model. None is dropped in silence: one that the model
 * cannot do is refused, unless its value asks for what the model does anyway (`frequency_penalty: 0`).
 * `promptSuffix` in the result is a sentence for the end of the prompt.
 * @throws AppError `unsupported_parameter` with `param` `parameters.<name>`
 */
export const translateParameters = (family: ParameterFamily, model: string, parameters: Record<string, unknown>): Record<string, unknown> => {
  const words: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    const said = FAMILIES[family][name]?.(value);
    if (!said) {
      throw new AppError('unsupported_parameter', `${model} does not support ${name} = ${JSON.stringify(value)}.`, { param: `parameters.${name}` });
    }
    Object.assign(words, said);
  }
  return words;
};

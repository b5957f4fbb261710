import { AppError } from '../errors.ts';

/** Models that take the same parameters in the same words. */
export type ParameterFamily =
  | 'any-chat'
  | 'any-image'
  | 'any-embedding'
  | 'simulated-image'
  | 'simulated-embedding'
  | 'openai-chat'
  | 'openai-plain'
  | 'openai-reasoning'
  | 'groq-gpt-oss'
  | 'groq-qwen'
  | 'groq-llama'
  | 'gpt-image-2'
  | 'gpt-image-2.5'
  | 'gpt-image-2.6'
  | 'gpt-image-1'
  | 'dall-e-3'
  | 'dall-e-2'
  | 'text-embedding-3-small'
  | 'text-embedding-3-large'
  | 'text-embedding-ada-002'
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

/** Who the end user is: `safety_identifier` has taken the place of `user`, and models of before know it by the old name. */
const END_USER = keepAll('user', 'safety_identifier');
const OLD_END_USER: Rules = { user: as('user'), safety_identifier: as('user') };

/** Formats every maker of pictures has. SVG is none of them: drawings with scripts in them are not kept here. */
const STILL_FORMATS = oneOf('output_format', sameWords('png', 'jpeg', 'webp'));

const GPT_IMAGE: Rules = {
  ...END_USER,
  size: as('size'),
  n: as('n'),
  quality: oneOf('quality', { ...sameWords('low', 'medium', 'high', 'auto'), standard: 'medium', hd: 'high' }),
  background: as('background'),
  output_format: STILL_FORMATS,
  output_compression: as('output_compression'),
  moderation: as('moderation'),
  // Gone as a parameter; its vendor's advice is to say it in the prompt, so that old code keeps its look.
  style: oneOf('promptSuffix', {
    vivid: 'Style: vivid, hyper-real and dramatic.',
    natural: 'Style: natural, not hyper-real.',
  }),
};

const BETTER_QUALITY = oneOf('quality', { ...sameWords('low', 'medium', 'high', 'auto', 'xhigh', 'max'), standard: 'medium', hd: 'high' });

const IMAGE_BASICS = keepAll('size', 'n', 'quality', 'style', 'background', 'output_compression', 'moderation');

/** At most as many numbers as the model has. */
const upTo =
  (name: string, most: number): Rule =>
  (value) =>
    typeof value === 'number' && value <= most ? { [name]: value } : undefined;

// Parameters DALL·E never had: only the value that describes what it does anyway is accepted.
const NOT_IN_DALL_E: Rules = { ...OLD_END_USER, background: only('auto', 'opaque'), output_format: only('png'), moderation: only('auto') };

const FAMILIES: Readonly<Record<ParameterFamily, Rules>> = {
  // A server we know nothing of: everything is passed in OpenAI's first words, and it refuses what it does not know.
  'any-chat': { ...SAMPLING, ...PENALTIES, ...keepAll('max_tokens', 'reasoning_effort') },
  'any-image': {},
  'any-embedding': {},
  'simulated-image': { ...IMAGE_BASICS, ...END_USER, output_format: STILL_FORMATS },
  'simulated-embedding': { ...keepAll('user'), dimensions: upTo('dimensions', 4096) },
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
  'gpt-image-2.5': { ...GPT_IMAGE, quality: BETTER_QUALITY },
  'gpt-image-2.6': {
    ...GPT_IMAGE,
    ...keepAll('complexity', 'frame_count', 'frame_duration_ms'),
    quality: BETTER_QUALITY,
    output_format: oneOf('output_format', sameWords('png', 'jpeg', 'webp', 'gif')),
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
  'text-embedding-3-small': { ...keepAll('user'), dimensions: upTo('dimensions', 1536) },
  'text-embedding-3-large': { ...keepAll('user'), dimensions: upTo('dimensions', 3072) },
  // It always makes vectors of this length and has no word for it.
  'text-embedding-ada-002': { ...keepAll('user'), dimensions: only(1536) },
  anthropic: {},
};

/** Servers we know nothing of: what has no rule is passed on as it came, and they refuse what they do not know. */
const PASS_ON: ReadonlySet<ParameterFamily> = new Set(['any-image', 'any-embedding']);

/** Values are quoted in messages up to here. */
const QUOTED_CHARS = 100;

const quoted = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length <= QUOTED_CHARS ? text : `${text.slice(0, QUOTED_CHARS)}…`;
};

const say = (family: ParameterFamily, name: string, value: unknown): Record<string, unknown> | undefined => {
  const rules = FAMILIES[family];
  if (Object.hasOwn(rules, name)) return rules[name]?.(value);
  return PASS_ON.has(family) ? { [name]: value } : undefined;
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
    const said = say(family, name, value);
    if (!said) {
      throw new AppError('unsupported_parameter', `${model} does not support ${name} = ${quoted(value)}.`, { param: `parameters.${name}` });
    }
    Object.assign(words, said);
  }
  return words;
};

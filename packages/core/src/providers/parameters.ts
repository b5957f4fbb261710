import { AppError } from '../errors.ts';
import { CHAT_FAMILIES, type ChatFamily } from './chat-parameters.ts';
import { CLAUDE_FAMILIES, type ClaudeFamily } from './claude-parameters.ts';
import { as, keepAll, NOTHING, oneOf, only, type Rule, type Rules, sameWords } from './parameter-rules.ts';

/** Models that take the same parameters in the same words. */
export type ParameterFamily =
  | ChatFamily
  | ClaudeFamily
  | 'any-image'
  | 'any-embedding'
  | 'simulated-image'
  | 'simulated-embedding'
  | 'gpt-image-2'
  | 'gpt-image-2.5'
  | 'gpt-image-2.6'
  | 'gpt-image-1'
  | 'dall-e-3'
  | 'dall-e-2'
  | 'text-embedding-3-small'
  | 'text-embedding-3-large'
  | 'text-embedding-ada-002';

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
  ...CHAT_FAMILIES,
  ...CLAUDE_FAMILIES,
  'any-image': {},
  'any-embedding': {},
  'simulated-image': { ...IMAGE_BASICS, ...END_USER, output_format: STILL_FORMATS },
  'simulated-embedding': { ...keepAll('user'), dimensions: upTo('dimensions', 4096) },
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
};

// What edits of pictures have beside or instead of what making new ones has. A family that is not here cannot edit.
const NO_MODERATION: Rules = { moderation: only('auto') };
const EDITS: Readonly<Partial<Record<ParameterFamily, Rules>>> = {
  'any-image': {},
  'simulated-image': keepAll('input_fidelity'),
  'gpt-image-2': NO_MODERATION,
  'gpt-image-2.5': NO_MODERATION,
  'gpt-image-2.6': NO_MODERATION,
  'gpt-image-1': { ...NO_MODERATION, input_fidelity: oneOf('input_fidelity', sameWords('high', 'low')) },
  'dall-e-2': {},
};

/** What is asked of a model: pictures of words, or of pictures too; anything else is the same either way. */
export type PictureTask = 'make' | 'edit';

/** Servers we know nothing of: what has no rule is passed on as it came, and they refuse what they do not know. */
const PASS_ON: ReadonlySet<ParameterFamily> = new Set(['any-chat', 'any-image', 'any-embedding']);

/** Values are quoted in messages up to here. */
const QUOTED_CHARS = 100;

const quoted = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length <= QUOTED_CHARS ? text : `${text.slice(0, QUOTED_CHARS)}…`;
};

const say = (family: ParameterFamily, rules: Rules, name: string, value: unknown): Record<string, unknown> | undefined => {
  if (Object.hasOwn(rules, name)) return rules[name]?.(value);
  return PASS_ON.has(family) ? { [name]: value } : undefined;
};

/**
 * Says `parameters` (those of the job type's schema, or of an OpenAI endpoint) in the words of a model. None is dropped in silence: one that the model
 * cannot do is refused, unless its value asks for what the model does anyway (`frequency_penalty: 0`).
 * `promptSuffix` in the result is a sentence for the end of the prompt.
 * @throws AppError `unsupported_parameter` with `param` `parameters.<name>`; `model_type_mismatch` (param `model`) when it cannot edit.
 */
export const translateParameters = (
  family: ParameterFamily,
  model: string,
  parameters: Record<string, unknown>,
  task: PictureTask = 'make',
): Record<string, unknown> => {
  const edits = task === 'edit' ? EDITS[family] : {};
  if (!edits) throw new AppError('model_type_mismatch', `${model} cannot edit pictures; image-default can.`, { param: 'model' });
  const rules = { ...FAMILIES[family], ...edits };
  const words: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    const said = say(family, rules, name, value);
    if (!said) {
      const what = Object.hasOwn(FAMILIES[family], name) ? `${name} = ${quoted(value)}` : name;
      throw new AppError('unsupported_parameter', `${model} does not support ${what}.`, { param: `parameters.${name}` });
    }
    Object.assign(words, said);
  }
  return words;
};

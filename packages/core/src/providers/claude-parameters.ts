import { keepAll, NOTHING, oneOf, only, type Rule, type Rules, sameWords } from './parameter-rules.ts';

/**
 * Claude models that take the same parameters in the same words. `claude-any`: one the catalogue does not know, on a server of the operator's.
 * The words are those of `POST /v1/messages`, but `choice`, `isSerial`, `effort` and `format`, which anthropic/chat.ts puts into their places.
 */
export type ClaudeFamily = 'claude-any' | 'claude-always-thinking' | 'claude-sonnet-5.5' | 'claude-5' | 'claude-4.6' | 'claude-4.5' | 'claude-3';

const isFields = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const textOnly: Rule = (value) => (Array.isArray(value) && value.length === 1 && value[0] === 'text' ? NOTHING : undefined);
const emptyIn: Rule = (value) => (isFields(value) && Object.keys(value).length === 0 ? NOTHING : undefined);

const toTool = (tool: unknown, canBeStrict: boolean): Record<string, unknown> | undefined => {
  if (!isFields(tool) || tool['type'] !== 'function' || !isFields(tool['function'])) return undefined;
  const { name, description, parameters, strict } = tool['function'];
  if (strict === true && !canBeStrict) return undefined;
  const schema = isFields(parameters) ? parameters : { properties: {} };
  return { name, ...(typeof description === 'string' && { description }), input_schema: { type: 'object', ...schema }, ...(strict === true && { strict }) };
};

/** Functions alone: tools of another kind are run by their vendor. */
const toolsOf =
  (canBeStrict: boolean): Rule =>
  (value) => {
    if (!Array.isArray(value)) return undefined;
    const tools = value.map((tool) => toTool(tool, canBeStrict));
    if (tools.some((tool) => tool === undefined)) return undefined;
    return tools.length > 0 ? { tools } : NOTHING;
  };

const UNFORCED: Record<string, unknown> = { auto: { choice: { type: 'auto' } }, none: { choice: { type: 'none' } } };

const forcedChoice = (value: unknown): Record<string, unknown> | undefined => {
  if (value === 'required') return { type: 'any' };
  if (!isFields(value) || value['type'] !== 'function' || !isFields(value['function'])) return undefined;
  return { type: 'tool', name: value['function']['name'] };
};

const neverForced: Rule = (value) => (typeof value === 'string' && Object.hasOwn(UNFORCED, value) ? (UNFORCED[value] as Record<string, unknown>) : undefined);

/** `beside`: what has to be said together with a call that is forced. */
const forceable =
  (beside: Record<string, unknown> = {}): Rule =>
  (value) => {
    const choice = forcedChoice(value);
    return choice ? { choice, ...beside } : neverForced(value);
  };

/** JSON of a schema. A mode of any JSON, as `json_object` asks for, Claude does not have. */
const schemaFormat: Rule = (value) => {
  if (!isFields(value)) return undefined;
  if (value['type'] === 'text') return NOTHING;
  const named = value['json_schema'];
  if (value['type'] !== 'json_schema' || !isFields(named) || !isFields(named['schema'])) return undefined;
  return { format: { type: 'json_schema', schema: named['schema'] } };
};
const textFormat: Rule = (value) => (isFields(value) && value['type'] === 'text' ? NOTHING : undefined);

const stopSequences: Rule = (value) => ({ stop_sequences: typeof value === 'string' ? [value] : value });
const endUser: Rule = (value) => ({ metadata: { user_id: value } });
const serialCalls: Rule = (value) => (value === false ? { isSerial: true } : NOTHING);

const LEVELS = sameWords('low', 'medium', 'high', 'xhigh', 'max');
const effort = oneOf('effort', { ...LEVELS, minimal: 'low' });
/** Effort, and for `none` what the model has for not thinking first. */
const effortOr =
  (none: Record<string, unknown>): Rule =>
  (value) =>
    value === 'none' ? none : effort(value);

const OFF = { thinking: { type: 'disabled' } };

const COMMON: Rules = {
  ...keepAll('max_tokens'),
  // Claude's own, which its users may send.
  ...keepAll('thinking', 'cache_control'),
  stop: stopSequences,
  user: endUser,
  safety_identifier: endUser,
  parallel_tool_calls: serialCalls,
  n: only(1),
  frequency_penalty: only(0),
  presence_penalty: only(0),
  logprobs: only(false),
  top_logprobs: only(0),
  logit_bias: emptyIn,
  store: only(false),
  modalities: textOnly,
  verbosity: only('medium'),
  service_tier: oneOf('service_tier', { auto: 'auto', default: 'standard_only', standard_only: 'standard_only' }),
};

/** From 0 to 1 here, where OpenAI goes to 2. */
const warmth: Rule = (value) => (typeof value === 'number' && value <= 1 ? { temperature: value } : undefined);
const SAMPLING: Rules = { ...keepAll('top_p', 'top_k'), temperature: warmth };
// platform.claude.com/docs/en/models/sonnet-5/migration-guide: anything but the default is answered 400.
const NO_SAMPLING: Rules = { temperature: only(1), top_p: only(1) };
const STRUCTURED: Rules = { tools: toolsOf(true), response_format: schemaFormat };

/** The parameters of each family of Claude models: platform.claude.com/docs/en/models/overview and the migration guides of each model. */
export const CLAUDE_FAMILIES: Readonly<Record<ClaudeFamily, Rules>> = {
  'claude-any': { ...COMMON, ...keepAll('temperature', 'top_p', 'top_k'), ...STRUCTURED, tool_choice: forceable(), reasoning_effort: effortOr(OFF) },
  // Its thinking cannot be turned off, so the least of it is asked for, and no call can be forced.
  'claude-always-thinking': { ...COMMON, ...NO_SAMPLING, ...STRUCTURED, tool_choice: neverForced, reasoning_effort: effortOr({ effort: 'low' }) },
  'claude-sonnet-5.5': {
    ...COMMON,
    ...NO_SAMPLING,
    ...STRUCTURED,
    tool_choice: neverForced,
    reasoning_effort: effortOr({ thinking: { type: 'between_tools' } }),
  },
  // It thinks unless it is told not to, and a call can be forced only of one that does not.
  'claude-5': { ...COMMON, ...NO_SAMPLING, ...STRUCTURED, tool_choice: forceable(OFF), reasoning_effort: effortOr(OFF) },
  // These think only when they are told to.
  'claude-4.6': {
    ...COMMON,
    ...SAMPLING,
    ...STRUCTURED,
    tool_choice: forceable(),
    reasoning_effort: (value) => {
      if (value === 'none') return NOTHING;
      const said = oneOf('effort', { ...sameWords('low', 'medium', 'high', 'max'), minimal: 'low' })(value);
      return said && { ...said, thinking: { type: 'adaptive' } };
    },
  },
  'claude-4.5': { ...COMMON, ...SAMPLING, ...STRUCTURED, tool_choice: forceable(), reasoning_effort: only('none') },
  'claude-3': {
    ...COMMON,
    ...SAMPLING,
    tools: toolsOf(false),
    response_format: textFormat,
    tool_choice: forceable(),
    reasoning_effort: only('none'),
  },
};

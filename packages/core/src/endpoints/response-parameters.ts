import { z } from 'zod';
import { AppError } from '../errors.ts';
import { parseWith } from '../parse.ts';

type Given = Record<string, unknown>;

const format = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('text') }),
    z.strictObject({ type: z.literal('json_object') }),
    z.strictObject({
      type: z.literal('json_schema'),
      name: z.string().min(1).max(64),
      schema: z.record(z.string(), z.unknown()),
      description: z.string().nullish(),
      strict: z.boolean().nullish(),
    }),
  ],
  { error: 'must have the type text, json_object or json_schema' },
);
const functionTool = z.strictObject({
  type: z.literal('function'),
  name: z.string().min(1).max(64),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});
const functionName = z.strictObject({ type: z.literal('function'), name: z.string().min(1).max(64) });
const allowedTools = z.strictObject({
  type: z.literal('allowed_tools'),
  mode: z.enum(['auto', 'required']),
  tools: z.array(z.looseObject({ type: z.string() })),
});

/** The fields of a response's body that a chat completion has too, under another name or in another form. */
export const translatedFields = {
  max_output_tokens: z.int().min(1).max(1_000_000).nullish(),
  tools: z
    .array(z.looseObject({ type: z.string().max(100) }))
    .max(128)
    .nullish(),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), z.looseObject({ type: z.string().max(100) })]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.strictObject({ format: format.nullish(), verbosity: z.enum(['low', 'medium', 'high']).nullish() }).nullish(),
  reasoning: z.looseObject({ effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).nullish() }).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
};
const translated = z.object(translatedFields);
export type TranslatedFields = z.output<typeof translated>;

/** Where what a chat completion calls so stands in the body of a response. */
export const PLACES = {
  max_tokens: 'max_output_tokens',
  response_format: 'text.format',
  verbosity: 'text.verbosity',
  reasoning_effort: 'reasoning.effort',
  logprobs: 'include',
} as const;

const unsupported = (param: string, what: string): AppError => new AppError('unsupported_parameter', `${param}: ${what} is not supported here.`, { param });

/** A schema is left as it came, and what was not said stays unsaid. */
const said = (given: Given): Given => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null && value !== undefined));

const chatTool = (tool: Given, at: number): Given => {
  if (tool['type'] !== 'function') throw unsupported(`tools.${at}.type`, `the tool ${JSON.stringify(tool['type'])}, which its vendor runs,`);
  const { type, ...named } = parseWith(functionTool, tool, ['tools', String(at)]);
  return { type, function: said(named) };
};

const chatFunction = (tool: Given, place: string[]): Given => {
  if (tool['type'] !== 'function') throw unsupported([...place, 'type'].join('.'), String(tool['type']));
  return { type: 'function', function: { name: parseWith(functionName, tool, place).name } };
};

const chatToolChoice = (choice: string | Given): unknown => {
  if (typeof choice === 'string') return choice;
  if (choice['type'] !== 'allowed_tools') return chatFunction(choice, ['tool_choice']);
  const { mode, tools } = parseWith(allowedTools, choice, ['tool_choice']);
  return { type: 'allowed_tools', allowed_tools: { mode, tools: tools.map((tool, at) => chatFunction(tool, ['tool_choice', 'tools', String(at)])) } };
};

const chatFormat = (given: z.output<typeof format>): Given | undefined => {
  if (given.type === 'text') return undefined;
  if (given.type === 'json_object') return { type: 'json_object' };
  const { type, ...schema } = given;
  return { type, json_schema: said(schema) };
};

/** The level is all that a chat completion can be told; what was thought is never shown by one. */
const reasoningEffort = (reasoning: Given): Given => {
  const { effort, ...other } = said(reasoning);
  const [name] = Object.keys(other);
  if (name !== undefined) throw unsupported(`reasoning.${name}`, `reasoning.${name}`);
  return { reasoning_effort: effort };
};

/** The words of a chat completion for the fields of a response. @throws AppError `invalid_request`, `unsupported_parameter`, with `param`. */
export const chatParameters = (fields: TranslatedFields, wantsLogprobs: boolean): Given => {
  const { max_output_tokens, tools, tool_choice, parallel_tool_calls, text, reasoning, top_logprobs } = fields;
  const hasTools = tools !== undefined && tools !== null && tools.length > 0;
  return said({
    max_tokens: max_output_tokens,
    ...(hasTools && { tools: tools.map(chatTool) }),
    ...(tool_choice && (hasTools || tool_choice !== 'auto') && { tool_choice: chatToolChoice(tool_choice) }),
    ...(hasTools && { parallel_tool_calls }),
    ...(text?.format && { response_format: chatFormat(text.format) }),
    verbosity: text?.verbosity,
    ...(reasoning && reasoningEffort(reasoning)),
    // Asked for with a number or by `include`; a chat completion wants both said.
    ...((wantsLogprobs || (top_logprobs ?? 0) > 0) && { logprobs: true }),
    ...((top_logprobs ?? 0) > 0 && { top_logprobs }),
  });
};

const tellFunction = (tool: Given): Given => {
  const { name, description, parameters, strict } = tool['function'] as Given;
  return { type: 'function', name, description: description ?? null, parameters: parameters ?? null, strict: strict ?? null };
};

const tellToolChoice = (choice: unknown): unknown => {
  if (typeof choice !== 'object' || choice === null) return choice ?? 'auto';
  const { type, function: named, allowed_tools: allowed } = choice as { type: string; function?: Given; allowed_tools?: { mode: string; tools: Given[] } };
  if (allowed) return { type, mode: allowed.mode, tools: allowed.tools.map(({ function: tool }) => ({ type: 'function', name: (tool as Given)['name'] })) };
  return { type, name: named?.['name'] };
};

const tellFormat = (given: unknown): Given => {
  if (typeof given !== 'object' || given === null) return { type: 'text' };
  const { type, json_schema: schema } = given as { type: string; json_schema?: Given };
  return schema ? { type, ...schema } : { type };
};

/** What a response repeats of its request: the inverse of `chatParameters`. */
export const tellParameters = (parameters: Given): Given => ({
  max_output_tokens: parameters['max_tokens'] ?? null,
  tools: ((parameters['tools'] ?? []) as Given[]).map(tellFunction),
  tool_choice: tellToolChoice(parameters['tool_choice']),
  parallel_tool_calls: parameters['parallel_tool_calls'] ?? true,
  text: { format: tellFormat(parameters['response_format']), ...(parameters['verbosity'] !== undefined && { verbosity: parameters['verbosity'] }) },
  reasoning: { effort: parameters['reasoning_effort'] ?? null, summary: null },
  top_logprobs: parameters['top_logprobs'] ?? 0,
  temperature: parameters['temperature'] ?? null,
  top_p: parameters['top_p'] ?? null,
  service_tier: parameters['service_tier'] ?? 'auto',
  prompt_cache_key: parameters['prompt_cache_key'] ?? null,
  safety_identifier: parameters['safety_identifier'] ?? null,
  ...(parameters['user'] !== undefined && { user: parameters['user'] }),
});

import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { InputMessage } from '../jobs/job.ts';
import { readOutput } from '../jobs/long-texts.ts';
import { parseWith } from '../parse.ts';
import { lastUserText } from './chat-completions.ts';
import type { Endpoint, EndpointCall, ParseDeps } from './endpoint.ts';
import { conversationOf, findResponse } from './find-response.ts';
import { callMetadata } from './metadata.ts';
import { picturesOf, type Reading, readResponseInput } from './response-input.ts';
import { presentResponse } from './response-object.ts';
import { answerMessage } from './response-output.ts';
import { chatParameters, PLACES, type TranslatedFields, translatedFields } from './response-parameters.ts';

type Given = Record<string, unknown>;

/** What only OpenAI's own servers can do: no chat completion has a word for it. */
const NOT_HERE = ['conversation', 'prompt', 'context_management', 'max_tool_calls', 'moderation', 'access_programs', 'image'] as const;
/** Words of chat completions for what has another place here, or none. */
const CHAT_WORDS = [
  ...['messages', 'n', 'max_tokens', 'max_completion_tokens', 'response_format', 'functions', 'function_call'],
  ...['logprobs', 'reasoning_effort', 'verbosity', 'modalities', 'audio'],
] as const;

const LOGPROBS = 'message.output_text.logprobs';
const ENCRYPTED = 'reasoning.encrypted_content';
/** What `include` can ask for: links of pictures are shown anyway; it is asked of items of reasoning, of which no answer has one. */
const INCLUDABLE = new Set([LOGPROBS, ENCRYPTED, 'message.input_image.image_url']);

const body = z.looseObject({
  ...translatedFields,
  model: z.string().min(1).max(200),
  input: z.union(
    [
      z.string().min(1),
      z
        .array(z.looseObject({ type: z.string().max(100).optional() }))
        .min(1)
        .max(10_000),
    ],
    {
      error: 'must be a text or a list of items',
    },
  ),
  instructions: z.string().nullish(),
  previous_response_id: z.string().max(100).nullish(),
  background: z.boolean().nullish(),
  store: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_obfuscation: z.boolean().nullish() }).nullish(),
  include: z.array(z.string().max(100)).max(20).nullish(),
  truncation: z.enum(['auto', 'disabled']).nullish(),
  metadata: callMetadata,
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
});

const refuse = (param: string, why: string): never => {
  throw new AppError('unsupported_parameter', `${param}: ${why}.`, { param });
};

/** Refuses what cannot be included. @throws AppError `unsupported_parameter`, param `include.N`. */
export const checkInclude = (names: string[]): void => {
  for (const [at, name] of names.entries()) if (!INCLUDABLE.has(name)) refuse(`include.${at}`, `${name} cannot be included here`);
};

/** Refuses by name what cannot be done here. */
const checkFields = ({ include, truncation, stream, stream_options, background, store, ...given }: z.output<typeof body>): void => {
  for (const name of [...NOT_HERE, ...CHAT_WORDS]) if (given[name] !== undefined && given[name] !== null) refuse(name, 'is not supported here');
  checkInclude(include ?? []);
  if (truncation === 'auto') refuse('truncation', 'only "disabled" is supported: no part of a conversation is left out');
  if (stream_options && !stream) throw new AppError('invalid_request', 'stream_options: is only for streams.', { param: 'stream_options' });
  if (stream_options?.include_obfuscation) refuse('stream_options.include_obfuscation', 'streams are not padded here');
  if (background && store === false) {
    throw new AppError('invalid_request', 'store: a response in the background is always stored, for it can only be fetched later.', { param: 'store' });
  }
};

/** Everything that was said up to the end of an earlier response; its instructions do not carry over. */
const earlierMessages = async (deps: ParseDeps, tenant: string, id: string): Promise<InputMessage[]> => {
  const param = 'previous_response_id';
  const job = await findResponse(deps, tenant, id);
  if (!job) throw new AppError('not_found', `previous_response_id: there is no response ${id}.`, { param });
  if (job.status !== 'completed')
    throw new AppError('invalid_request', `previous_response_id: the response ${id} is ${job.status} and has no output.`, { param });
  const output = await readOutput(deps, job);
  if (output?.kind !== 'text') throw new AppError('internal_error', 'The earlier response has no output.');
  return [...(await conversationOf(deps, job.spec)), answerMessage(id, output)];
};

/** What the reply tells of the request, as far as it is in neither its parameters nor its messages. */
const echoOf = ({ instructions, previous_response_id, background, store, stream }: z.output<typeof body>): Given => ({
  ...(instructions && { instructed: true, instructions }),
  ...(previous_response_id && { previous_response_id }),
  ...(background && { background: true }),
  ...(store === false && { store: false }),
  ...(stream && { stream: true }),
});

/** What is left of a body is passed on by its name, if the model knows it (checkCall). */
const otherParameters = (given: z.output<typeof body>): Given => {
  const known = new Set<string>([...Object.keys(body.shape).filter((name) => name !== 'temperature' && name !== 'top_p'), ...NOT_HERE, ...CHAT_WORDS]);
  return Object.fromEntries(Object.entries(given).filter(([name, value]) => !known.has(name) && value !== null && value !== undefined));
};

const parse = async (deps: ParseDeps, tenant: string, raw: Given): Promise<EndpointCall> => {
  const given = parseWith(body, raw);
  checkFields(given);
  const parameters = { ...otherParameters(given), ...chatParameters(given as TranslatedFields, given.include?.includes(LOGPROBS) ?? false) };
  const reading: Reading = { deps, tenant, warnings: new Set() };
  if (given.include?.includes(ENCRYPTED)) reading.warnings.add('No reasoning is included: a chat completion answers without items of reasoning.');
  const before = given.previous_response_id ? await earlierMessages(deps, tenant, given.previous_response_id) : [];
  const conversation = await readResponseInput(reading, given.input, before);
  if (conversation.length === 0) throw new AppError('invalid_request', 'input: holds nothing that can be passed on.', { param: 'input' });
  const head: InputMessage[] = given.instructions ? [{ role: 'system', content: given.instructions }] : [];
  const messages = [...head, ...conversation];
  return {
    type: picturesOf(messages).length > 0 ? 'vision' : 'chat',
    model: given.model,
    input: { text: lastUserText(messages), images: [], messages },
    parameters,
    echo: echoOf(given),
    inInput: ['instructions'],
    metadata: given.metadata ?? {},
    warnings: [...reading.warnings],
    places: PLACES,
  };
};

/** `POST /v1/responses`: one chat or vision job, asked of providers as a chat completion. */
export const responses: Endpoint = {
  name: 'responses',
  url: '/v1/responses',
  parse,
  present: (deps, finished) => presentResponse(deps, { ...finished, status: 'completed' }),
};

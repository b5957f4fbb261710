import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { checkCall, type Endpoint, type EndpointCall } from '../endpoints/endpoint.ts';
import { type BatchEndpointName, ENDPOINTS } from '../endpoints/table.ts';
import { AppError } from '../errors.ts';
import { MAX_NESTING, tooDeepField } from '../nesting.ts';

/** Why a line cannot run, in the form of OpenAI's batch errors. */
export class LineProblem extends Error {
  readonly code: string;
  readonly param: string | null;
  constructor(code: string, message: string, param: string | null = null) {
    super(message);
    this.name = 'LineProblem';
    this.code = code;
    this.param = param;
  }
}

/** A line that can run. */
export type BatchLine = { customId: string; call: EndpointCall };

const MAX_CUSTOM_ID_CHARS = 512;

const customIdSchema = z.string().min(1).max(MAX_CUSTOM_ID_CHARS);

const parseJson = (text: string): Record<string, unknown> => {
  // A body may be nested as deep as on its route; the line is one more around it.
  const deep = tooDeepField(text, MAX_NESTING + 1);
  if (deep !== undefined) throw new LineProblem('invalid_request', `${deep}: brackets may be nested ${MAX_NESTING} deep at most.`, deep);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LineProblem('invalid_json_line', 'This line is not parseable as valid JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new LineProblem('invalid_json_line', 'This line is not a JSON object.');
  return value as Record<string, unknown>;
};

/** What a line says of itself beside its body. @throws LineProblem. */
const checkEnvelope = (line: Record<string, unknown>, endpoint: Endpoint): { customId: string; body: Record<string, unknown> } => {
  const { custom_id: customId, method, url, body, ...other } = line;
  if (customId === undefined) throw new LineProblem('missing_required_parameter', 'custom_id is missing.', 'custom_id');
  if (!customIdSchema.safeParse(customId).success) {
    throw new LineProblem('invalid_custom_id', `custom_id must be a string of 1 to ${MAX_CUSTOM_ID_CHARS} characters.`, 'custom_id');
  }
  if (method !== 'POST') throw new LineProblem('invalid_method', 'method must be POST.', 'method');
  if (url !== endpoint.url) {
    throw new LineProblem('invalid_url', `url must be ${endpoint.url}, the endpoint of this batch.`, 'url');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new LineProblem('missing_required_parameter', 'body must be an object.', 'body');
  const [unknown] = Object.keys(other);
  if (unknown !== undefined) throw new LineProblem('unknown_parameter', `Unknown field: ${unknown.slice(0, 100)}.`, unknown.slice(0, 100));
  return { customId: customId as string, body: body as Record<string, unknown> };
};

export type LineRules = { tenant: string; endpoint: BatchEndpointName; models?: readonly string[] | undefined };

/**
 * Reads one line of a batch's file with the checks of its endpoint's route. Nothing is fetched and nobody is called.
 * @throws LineProblem.
 */
export const parseLine = async (deps: Pick<Deps, 'providers' | 'redis' | 'blobs' | 'config' | 'now'>, text: string, rules: LineRules): Promise<BatchLine> => {
  const endpoint = ENDPOINTS[rules.endpoint];
  const { customId, body } = checkEnvelope(parseJson(text), endpoint);
  try {
    const call = await endpoint.parse(deps, rules.tenant, body);
    if (call.echo['stream']) throw new AppError('unsupported_parameter', 'stream: a line of a batch has no stream.', { param: 'stream' });
    if (call.echo['background'])
      throw new AppError('unsupported_parameter', 'background: every line of a batch runs in the background.', { param: 'background' });
    checkCall(deps, call, rules.models);
    return { customId, call };
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code === 'unavailable' || thrown.code === 'storage_error' || thrown.code === 'internal_error') throw thrown;
    throw new LineProblem(thrown.code, thrown.message, thrown.param === undefined ? 'body' : `body.${thrown.param}`);
  }
};

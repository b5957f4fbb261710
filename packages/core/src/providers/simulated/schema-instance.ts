import { AppError } from '../../errors.ts';

type Schema = Record<string, unknown>;
type Walk = { root: Schema; depth: number; param: string };

/** Deeper than this only what is required is filled in, and a list is as short as it may be. */
const FULL_DEPTH = 4;
const MAX_DEPTH = 32;

const isSchema = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value);
const numberIn = (schema: Schema, name: string): number | undefined => (typeof schema[name] === 'number' ? schema[name] : undefined);

const cannot = (param: string, what: string): AppError =>
  new AppError('unsupported_parameter', `The simulated provider cannot make an instance of a schema with ${what}.`, { param });

const FORMATS: Readonly<Record<string, string>> = {
  date: '2026-01-01',
  'date-time': '2026-01-01T00:00:00Z',
  time: '00:00:00Z',
  duration: 'PT1S',
  email: 'simulated@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
};

const text = (schema: Schema, { param }: Walk): string => {
  if (schema['pattern'] !== undefined) throw cannot(param, 'a pattern');
  const format = FORMATS[String(schema['format'] ?? '')];
  const least = numberIn(schema, 'minLength') ?? 0;
  return (format ?? 'simulated'.padEnd(least, '.')).slice(0, numberIn(schema, 'maxLength'));
};

const count = (schema: Schema, step: number): number => {
  const multiple = numberIn(schema, 'multipleOf') ?? step;
  const above = numberIn(schema, 'exclusiveMinimum');
  const below = numberIn(schema, 'exclusiveMaximum');
  const least = numberIn(schema, 'minimum') ?? (above === undefined ? undefined : above + multiple);
  const most = numberIn(schema, 'maximum') ?? (below === undefined ? undefined : below - multiple);
  if (least !== undefined && least > 1) return Math.ceil(least / multiple) * multiple;
  if (most !== undefined && most < 1) return Math.floor(most / multiple) * multiple;
  return Math.max(multiple, 1);
};

const list = (schema: Schema, walk: Walk): unknown[] => {
  const least = numberIn(schema, 'minItems') ?? (walk.depth < FULL_DEPTH ? 1 : 0);
  const length = Math.min(least, numberIn(schema, 'maxItems') ?? least);
  if (length > 1 && schema['uniqueItems'] === true) throw cannot(walk.param, 'several unique items');
  return Array.from({ length }, () => instance(isSchema(schema['items']) ? schema['items'] : {}, walk));
};

const fields = (schema: Schema, walk: Walk): Record<string, unknown> => {
  const known = isSchema(schema['properties']) ? schema['properties'] : {};
  const required = Array.isArray(schema['required']) ? schema['required'].map(String) : [];
  const names = walk.depth < FULL_DEPTH ? [...new Set([...required, ...Object.keys(known)])] : required;
  return Object.fromEntries(names.map((name) => [name, instance(isSchema(known[name]) ? known[name] : {}, walk)]));
};

const resolve = ({ root, param }: Walk, reference: string): Schema => {
  let at: unknown = root;
  for (const name of reference.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    at = isSchema(at) ? at[name.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined;
  }
  if (!reference.startsWith('#') || !isSchema(at)) throw cannot(param, `the reference ${JSON.stringify(reference.slice(0, 100))}`);
  return at;
};

/** Of several ways the shortest, once it is deep: so that a tree ends. */
const choose = (ways: unknown[], { depth }: Walk): Schema => {
  const schemas = ways.filter(isSchema);
  const end = schemas.find((schema) => schema['type'] === 'null');
  return (depth >= FULL_DEPTH ? end : undefined) ?? schemas[0] ?? {};
};

const typeOf = (schema: Schema, walk: Walk): unknown => {
  const { type } = schema;
  if (Array.isArray(type)) return walk.depth >= FULL_DEPTH && type.includes('null') ? 'null' : type[0];
  return type ?? (schema['properties'] === undefined ? (schema['items'] === undefined ? 'string' : 'array') : 'object');
};

const instance = (schema: Schema, before: Walk): unknown => {
  const walk = { ...before, depth: before.depth + 1 };
  if (walk.depth > MAX_DEPTH) throw cannot(walk.param, 'no end');
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return schema['enum'][0];
  if (typeof schema['$ref'] === 'string') return instance(resolve(walk, schema['$ref']), walk);
  if (Array.isArray(schema['allOf'])) {
    if (schema['allOf'].length > 1) throw cannot(walk.param, 'allOf');
    return instance(choose(schema['allOf'], walk), walk);
  }
  const ways = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(ways)) return instance(choose(ways, walk), walk);
  const type = typeOf(schema, walk);
  if (type === 'object') return fields(schema, walk);
  if (type === 'array') return list(schema, walk);
  if (type === 'string') return text(schema, walk);
  if (type === 'integer') return count(schema, 1);
  if (type === 'number') return count(schema, numberIn(schema, 'multipleOf') ?? 0.5);
  return type === 'boolean' ? true : null;
};

/**
 * A value that a JSON schema allows, the same for the same schema.
 * @throws AppError `unsupported_parameter` (param `param`) for what cannot be made up: patterns, far references, `allOf` of several.
 */
export const instanceOf = (schema: unknown, param: string): unknown =>
  isSchema(schema) ? instance(schema, { root: schema, depth: 0, param }) : instance({}, { root: {}, depth: 0, param });

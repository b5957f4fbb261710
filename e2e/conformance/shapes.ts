import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';
import { BEYOND_THE_TYPES, NULL_FOR_ABSENT, SDK_COMPUTES } from './beyond-the-types.ts';

const TYPES = join(import.meta.dirname, 'published-shapes.ts');
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/fana-conformance');
const require = createRequire(import.meta.url);

type Schema = { type?: unknown; properties?: Record<string, Schema>; required?: string[]; anyOf?: Schema[]; $ref?: string; const?: unknown };
type Schemas = { definitions: Record<string, Schema> };

/** The version of a package that is installed here. */
const versionOf = (name: string): string => {
  let folder = dirname(require.resolve(name));
  while (!existsSync(join(folder, 'package.json')) || JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name !== name) folder = dirname(folder);
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
};

const generate = (): Schemas =>
  createGenerator({ path: TYPES, type: '*', expose: 'export', skipTypeCheck: true, additionalProperties: false, jsDoc: 'none' }).createSchema('*') as Schemas;

/** Reading the package's types takes seconds: once for these types and these versions. */
const schemasOnce = (): Schemas => {
  const key = createHash('sha256').update(readFileSync(TYPES));
  for (const name of ['openai', 'ts-json-schema-generator']) key.update(`${name}@${versionOf(name)}\n`);
  const kept = join(CACHE, `${key.digest('hex')}.json`);
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8'));
  const schemas = generate();
  mkdirSync(CACHE, { recursive: true });
  const part = `${kept}.${process.pid}`;
  writeFileSync(part, JSON.stringify(schemas));
  renameSync(part, kept);
  return schemas;
};

const definition = (schemas: Schemas, name: string): Schema & { properties: Record<string, Schema>; required: string[] } => {
  const found = schemas.definitions[name];
  if (!found?.properties) throw new Error(`OpenAI publishes no type ${name} any more`);
  found.required ??= [];
  return found as ReturnType<typeof definition>;
};

/** Fields nobody published are faults but for those listed; so are nulls where a type knows only absence. */
const relax = (schemas: Schemas): Schemas => {
  for (const [name, fields] of Object.entries(BEYOND_THE_TYPES)) Object.assign(definition(schemas, name).properties, fields);
  for (const [name, fields] of Object.entries(NULL_FOR_ABSENT)) {
    const { properties } = definition(schemas, name);
    for (const field of fields) properties[field] = { anyOf: [properties[field] ?? {}, { type: 'null' }] };
  }
  for (const [name, fields] of Object.entries(SDK_COMPUTES)) {
    const type = definition(schemas, name);
    type.required = type.required.filter((field) => !fields.includes(field));
    for (const field of fields) delete type.properties[field];
  }
  return schemas;
};

const schemas = relax(schemasOnce());
const ajv = new Ajv({ strict: false, allErrors: true }).addSchema(schemas, 'openai');

/** The one of many types that says it is of the body's `type`: its faults are to the point, those of all others noise. */
const ofType = (name: string, body: unknown): string | undefined => {
  const { anyOf, $ref } = schemas.definitions[name] ?? {};
  if ($ref && !anyOf) return ofType($ref.slice('#/definitions/'.length), body);
  if (!anyOf) return name;
  const type = (body as { type?: unknown } | null)?.type;
  return anyOf
    .map((one) => one.$ref?.slice('#/definitions/'.length) ?? '')
    .find((one) => type !== undefined && schemas.definitions[one]?.properties?.['type']?.const === type);
};

const told = ({ instancePath, message, params }: ErrorObject): string => `${instancePath || 'the body'} ${message} ${JSON.stringify(params)}`;

/** What is wrong with a body, by the shape OpenAI publishes for it; nothing when it is right. */
export const problemsOf = (shape: string, body: unknown): string[] => {
  const name = ofType(shape, body);
  if (!name) return [`${shape} has no type ${JSON.stringify((body as { type?: unknown } | null)?.type)}`];
  const validate = ajv.getSchema(`openai#/definitions/${name}`);
  if (!validate) throw new Error(`there is no shape ${name}`);
  return validate(body) ? [] : (validate.errors ?? []).map(told);
};

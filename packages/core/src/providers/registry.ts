import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { ModelType } from '../jobs/job.ts';
import { createAnthropic } from './anthropic/create.ts';
import { createGroq } from './groq/create.ts';
import { ALIASES, type Alias, familyOf, MODELS, type Model, modelOf } from './models.ts';
import { createOpenai } from './openai/create.ts';
import { type ParameterFamily, translateParameters } from './parameters.ts';
import { costUsd } from './prices.ts';
import type { ModelInfo, Provider, ProviderName, Registry, Target } from './provider.ts';
import { createSimulated } from './simulated/create.ts';
import { createUpstream } from './upstream.ts';

type Settings = Config['providers'];
type Providers = ReadonlyMap<ProviderName, Provider>;

const KEY_VARIABLES = { groq: 'GROQ_API_KEY', openai: 'OPENAI_API_KEY', anthropic: 'ANTHROPIC_API_KEY' } as const;

/** How long an account's 404 for a model is remembered. */
const MISSING_MS = 3_600_000;

const SIMULATED_WARNING = 'No provider key is set: this result is simulated.';

/** A name without a catalogue entry makes pictures if it sounds like it. */
const SOUNDS_LIKE_PICTURES = /image|dall-?e|flux|diffusion|sdxl|(^|[^a-z0-9])sd[-_.]?\d/i;

/** Such a name makes vectors and nothing else; any other that is no picture model may make them too. */
const SOUNDS_LIKE_VECTORS = /embed|(^|[^a-z0-9])(bge|gte|e5)[-_.]|minilm/i;

/**
 * `openai/<id>`, `groq/<id>` and `anthropic/<id>` name a model of the operator's own server, when that provider has a base URL of its own:
 * the id is passed on as it is. A catalogue id of that form (Groq's `openai/gpt-oss-120b`) is itself; a server's model of that
 * very name is `openai/openai/gpt-oss-120b`.
 */
const ownModel = (settings: Settings, name: string): Model | undefined => {
  for (const provider of ['openai', 'groq', 'anthropic'] as const) {
    if (!name.startsWith(`${provider}/`) || settings[provider].baseUrl === undefined) continue;
    const id = name.slice(provider.length + 1);
    if (id === '') continue;
    if (provider === 'anthropic') return { id, provider, types: ['chat', 'vision'], family: 'claude-any' };
    if (provider === 'groq') return { id, provider, types: ['chat', 'vision'], family: 'any-chat' };
    if (SOUNDS_LIKE_PICTURES.test(id)) return { id, provider, types: ['image'], family: 'any-image' };
    if (SOUNDS_LIKE_VECTORS.test(id)) return { id, provider, types: ['embedding'], family: 'any-embedding' };
    return { id, provider, types: ['chat', 'vision', 'embedding'], family: 'any-chat' };
  }
  return undefined;
};

const modelError = (code: 'model_not_found' | 'model_not_available' | 'model_type_mismatch', message: string): AppError =>
  new AppError(code, message, { param: 'model' });

const aliasOf = (name: string): Alias | undefined => (Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined);

const findModel = (settings: Settings, name: string): Model => {
  const model = modelOf(name) ?? ownModel(settings, name);
  if (!model) throw modelError('model_not_found', `There is no model named ${JSON.stringify(name.slice(0, 100))}. GET /v1/models lists them.`);
  return model;
};

/** The model itself, then those of its own vendor that answer in its place, as far as they serve `type`. */
const lineOf = (model: Model, type: ModelType): Model[] => {
  const line: Model[] = [];
  for (let at: Model | undefined = model; at; at = at.successor === undefined ? undefined : modelOf(at.successor)) {
    if (at.types.includes(type)) line.push(at);
  }
  return line;
};

const keyMissing = (name: string, provider: ProviderName): AppError => {
  if (provider === 'simulated') return modelError('model_not_available', `${name} is there only while no provider key is set.`);
  return modelError('model_not_available', `${name} needs the provider ${provider}: set ${KEY_VARIABLES[provider]}.`);
};

const aliasUnserved = (name: string, alias: Alias | undefined): AppError => {
  const variables = (alias?.candidates ?? []).flatMap((id) => {
    const provider = modelOf(id)?.provider;
    return provider === undefined || provider === 'simulated' ? [] : [KEY_VARIABLES[provider]];
  });
  return modelError('model_not_available', `${name} has no provider: set ${[...new Set(variables)].join(' or ')}.`);
};

const refuseOtherTypes = (name: string, type: ModelType, types: readonly ModelType[]): void => {
  if (!types.includes(type)) throw modelError('model_type_mismatch', `${name} serves ${types.join(' and ')}, not ${type}.`);
};

/** The provider accounts this installation has: those whose key is set. */
const createProviders = ({ groq, openai, anthropic }: Settings): Providers => {
  const upstream = createUpstream();
  const providers = new Map<ProviderName, Provider>();
  if (groq.apiKey !== undefined) providers.set('groq', createGroq({ apiKey: groq.apiKey, baseUrl: groq.baseUrl }, upstream));
  if (openai.apiKey !== undefined) providers.set('openai', createOpenai({ apiKey: openai.apiKey, baseUrl: openai.baseUrl }, upstream));
  if (anthropic.apiKey !== undefined) providers.set('anthropic', createAnthropic({ apiKey: anthropic.apiKey, baseUrl: anthropic.baseUrl }, upstream));
  return providers;
};

/** The words of a model the catalogue does not know, by what is asked of it. */
const OTHERWISE = { chat: 'any-chat', vision: 'any-chat', image: 'any-image', embedding: 'any-embedding' } as const satisfies Record<
  ModelType,
  ParameterFamily
>;

const SIMULATED = {
  chat: 'simulated-chat',
  vision: 'simulated-chat',
  image: 'simulated-image',
  embedding: 'simulated-embedding',
} as const satisfies Record<ModelType, ParameterFamily>;

/** The parameter words of who serves a call. The simulated provider has its own, whatever model it stands for. */
const wordsOf = ({ provider, model }: Target, type: ModelType): ParameterFamily =>
  provider.name === 'simulated' ? SIMULATED[type] : familyOf(provider.name, model, provider.name === 'anthropic' ? 'claude-any' : OTHERWISE[type]);

/** What accounts are known to lack. */
const createMissing = (now: () => number) => {
  const until = new Map<string, number>();
  return {
    note: (provider: ProviderName, model: string): void => {
      until.set(`${provider} ${model}`, now() + MISSING_MS);
    },
    has: (provider: ProviderName, model: string): boolean => (until.get(`${provider} ${model}`) ?? 0) > now(),
  };
};

const infoOf = ({ id, provider, types, shutdownDate, successor }: Model): ModelInfo => ({
  id,
  ownedBy: provider,
  types: [...types],
  ...(shutdownDate !== undefined && { shutdownDate }),
  ...(successor !== undefined && { successor }),
});

/** Every model of `serves`, behind the aliases that stand for one now. */
const listModels = (serves: (provider: ProviderName) => boolean, pick: (alias: Alias) => Model | undefined): ModelInfo[] => {
  const aliases = Object.entries(ALIASES).flatMap(([id, alias]): ModelInfo[] => {
    const model = pick(alias);
    return model ? [{ ...infoOf(model), id, aliasOf: model.id, types: [...alias.types] }] : [];
  });
  return [...aliases, ...MODELS.filter(({ provider }) => serves(provider)).map(infoOf)];
};

/**
 * Model names → who serves them, by the keys that are set. Without any key the simulated provider serves every model and alias.
 * `now` is unix milliseconds.
 */
export const createRegistry = (config: Pick<Config, 'providers'>, now: () => number = Date.now): Registry => {
  const settings = config.providers;
  const simulated = Object.values(settings).every(({ apiKey }) => apiKey === undefined);
  const stand = simulated ? createSimulated() : undefined;
  const providers = createProviders(settings);
  const missing = createMissing(now);

  const pick = (alias: Alias): Model | undefined =>
    simulated ? modelOf(alias.simulated) : alias.candidates.map(modelOf).find((model) => model && providers.has(model.provider));

  const resolve = (name: string, type: ModelType): Model => {
    const alias = aliasOf(name);
    const model = alias ? pick(alias) : findModel(settings, name);
    refuseOtherTypes(name, type, alias?.types ?? model?.types ?? []);
    if (model) return model;
    throw aliasUnserved(name, alias);
  };

  const targets = (name: string, type: ModelType): Target[] => {
    const asked = resolve(name, type);
    if (stand) return [{ provider: stand, model: asked.id, warnings: [SIMULATED_WARNING] }];
    const provider = providers.get(asked.provider);
    if (!provider) throw keyMissing(asked.id, asked.provider);
    const line = lineOf(asked, type);
    const there = line.filter(({ id }) => !missing.has(provider.name, id));
    return (there.length > 0 ? there : line.slice(-1)).map(({ id }) => ({
      provider,
      model: id,
      warnings: id === asked.id ? [] : [`${asked.id} is not served any more; ${id} answered instead.`],
    }));
  };

  return {
    simulated,
    typesOf: (name) => [...(aliasOf(name) ?? findModel(settings, name)).types],
    targets,
    checkParameters(name, type, parameters, task) {
      const [first] = targets(name, type);
      if (!first) return;
      const { family } = resolve(name, type);
      // What the model would refuse is refused in a demo, too.
      if (simulated) translateParameters(family, first.model, parameters, task);
      translateParameters(wordsOf(first, type), first.model, parameters, task);
    },
    noteMissing: missing.note,
    costUsd,
    list: () => listModels((provider) => simulated || providers.has(provider), pick),
  };
};

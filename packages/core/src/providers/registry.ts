import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { JobType, Usage } from '../jobs/job.ts';
import { createGroq } from './groq/create.ts';
import { ALIASES, type Alias, MODELS, type Model, modelOf } from './models.ts';
import { createOpenai } from './openai/create.ts';
import { translateParameters } from './parameters.ts';
import type { ModelInfo, Provider, ProviderName, Registry, Target } from './provider.ts';
import { createSimulated } from './simulated/create.ts';
import { createUpstream } from './upstream.ts';

const KEY_VARIABLES = { groq: 'GROQ_API_KEY', openai: 'OPENAI_API_KEY', anthropic: 'ANTHROPIC_API_KEY' } as const;

/** How long an account's 404 for a model is remembered. */
const MISSING_MS = 3_600_000;

const SIMULATED_WARNING = 'No provider key is set: this result is simulated.';

/** A name without a catalogue entry makes pictures if it sounds like it. */
const SOUNDS_LIKE_PICTURES = /image|dall-?e|flux|diffusion|sdxl|(^|[^a-z0-9])sd[-_.]?\d/i;

/**
 * `openai/<id>` and `groq/<id>` name a model of the operator's own server, when that provider has a base URL of its own:
 * the id is passed on as it is. A catalogue id of that form (Groq's `openai/gpt-oss-120b`) is itself; a server's model of that
 * very name is `openai/openai/gpt-oss-120b`.
 */
const ownModel = (settings: Config['providers'], name: string): Model | undefined => {
  for (const provider of ['openai', 'groq'] as const) {
    if (!name.startsWith(`${provider}/`) || settings[provider].baseUrl === undefined) continue;
    const id = name.slice(provider.length + 1);
    if (id === '') continue;
    if (provider === 'openai' && SOUNDS_LIKE_PICTURES.test(id)) return { id, provider, types: ['image'], family: 'any-image' };
    return { id, provider, types: ['chat', 'vision'], family: 'any-chat' };
  }
  return undefined;
};

/** What a name leads to: one model, or an alias with its candidates. */
type Named = { kind: 'model'; model: Model } | { kind: 'alias'; name: string; alias: Alias };

const find = (settings: Config['providers'], name: string): Named => {
  const alias = Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
  if (alias) return { kind: 'alias', name, alias };
  const model = modelOf(name) ?? ownModel(settings, name);
  if (!model)
    throw new AppError('model_not_found', `There is no model named ${JSON.stringify(name.slice(0, 100))}. GET /v1/models lists them.`, { param: 'model' });
  return { kind: 'model', model };
};

/** The model itself, then those of its own vendor that answer in its place, as far as they serve `type`. */
const lineOf = (model: Model, type: JobType): Model[] => {
  const line: Model[] = [];
  const seen = new Set<string>();
  for (let at: Model | undefined = model; at && !seen.has(at.id); at = at.successor === undefined ? undefined : modelOf(at.successor)) {
    seen.add(at.id);
    if (at.types.includes(type)) line.push(at);
  }
  return line;
};

const notAvailable = (message: string): AppError => new AppError('model_not_available', message, { param: 'model' });

const keyMissing = (name: string, provider: ProviderName, hasKey: boolean): AppError => {
  if (provider === 'simulated') return notAvailable(`${name} is there only while no provider key is set.`);
  if (provider === 'anthropic') return notAvailable(`${name} cannot be asked: Claude is not built yet${hasKey ? '' : ', with or without ANTHROPIC_API_KEY'}.`);
  return notAvailable(`${name} needs the provider ${provider}: set ${KEY_VARIABLES[provider]}.`);
};

const aliasUnserved = ({ name, alias }: { name: string; alias: Alias }): AppError => {
  const variables = alias.candidates.flatMap((id) => {
    const provider = modelOf(id)?.provider;
    return provider === 'groq' || provider === 'openai' ? [KEY_VARIABLES[provider]] : [];
  });
  return notAvailable(`${name} has no provider: set ${[...new Set(variables)].join(' or ')}.`);
};

const mismatch = (name: string, type: JobType, types: readonly JobType[]): AppError =>
  new AppError('model_type_mismatch', `${name} serves ${types.join(' and ')}, not ${type}.`, { param: 'model' });

/** The provider accounts this installation has. Claude's place is here once it is built. */
const createProviders = (settings: Config['providers']): Map<ProviderName, Provider> => {
  const upstream = createUpstream();
  const providers = new Map<ProviderName, Provider>();
  if (settings.groq.apiKey !== undefined) providers.set('groq', createGroq({ ...settings.groq, apiKey: settings.groq.apiKey }, upstream));
  if (settings.openai.apiKey !== undefined) providers.set('openai', createOpenai({ ...settings.openai, apiKey: settings.openai.apiKey }, upstream));
  return providers;
};

/** What an account is known to lack, for this process and for an hour. */
const createMissing = (now: () => number) => {
  const until = new Map<string, number>();
  const key = (provider: ProviderName, model: string): string => `${provider} ${model}`;
  return {
    note: (provider: ProviderName, model: string): void => {
      until.set(key(provider, model), now() + MISSING_MS);
    },
    has: (provider: ProviderName, model: string): boolean => (until.get(key(provider, model)) ?? 0) > now(),
  };
};

const info = (model: Model): ModelInfo => ({
  id: model.id,
  ownedBy: model.provider,
  types: [...model.types],
  ...(model.shutdownDate !== undefined && { shutdownDate: model.shutdownDate }),
  ...(model.successor !== undefined && { successor: model.successor }),
});

const PER_MILLION = 1_000_000;

const priceOf = (model: Model | undefined, usage: Usage): number | undefined => {
  const { inputTokens, outputTokens, imageInputTokens = 0, cachedInputTokens = 0 } = usage;
  if (!model?.price || inputTokens === undefined || outputTokens === undefined) return undefined;
  const { input, output, cachedInput, imageInput } = model.price;
  // Tokens whose own price is not known are charged as plain input: vendors give rebates on those, so the figure is never too low.
  const cached = cachedInput === undefined ? 0 : cachedInputTokens;
  const image = imageInput === undefined ? 0 : imageInputTokens;
  const plain = Math.max(0, inputTokens - cached - image);
  return (plain * input + cached * (cachedInput ?? 0) + image * (imageInput ?? 0) + outputTokens * output) / PER_MILLION;
};

/**
 * Model names → who serves them, by the keys that are set. Without any key the simulated provider serves every model and alias.
 * `now` is unix milliseconds.
 */
export const createRegistry = (config: Pick<Config, 'providers'>, now: () => number = Date.now): Registry => {
  const settings = config.providers;
  const simulated = Object.values(settings).every(({ apiKey }) => apiKey === undefined);
  const providers: ReadonlyMap<ProviderName, Provider> = simulated ? new Map() : createProviders(settings);
  const stand: Provider | undefined = simulated ? createSimulated() : undefined;
  const missing = createMissing(now);

  /** The model an alias stands for now, if any. */
  const pick = (alias: Alias): Model | undefined =>
    simulated ? modelOf(alias.simulated) : alias.candidates.map((id) => modelOf(id)).find((model) => model && providers.has(model.provider));

  const servedLine = (asked: Model, type: JobType, provider: Provider): Target[] => {
    const line = lineOf(asked, type);
    const had = line.filter(({ id }) => !missing.has(provider.name, id));
    return (had.length > 0 ? had : line.slice(-1)).map(({ id }) => ({
      provider,
      model: id,
      warnings: id === asked.id ? [] : [`${asked.id} is not served any more; ${id} answered instead.`],
    }));
  };

  const targetsOf = (asked: Model, type: JobType): Target[] => {
    if (!asked.types.includes(type)) throw mismatch(asked.id, type, asked.types);
    if (stand) return [{ provider: stand, model: asked.id, warnings: [SIMULATED_WARNING] }];
    const provider = providers.get(asked.provider);
    if (!provider) throw keyMissing(asked.id, asked.provider, asked.provider !== 'simulated' && settings[asked.provider].apiKey !== undefined);
    return servedLine(asked, type, provider);
  };

  const resolve = (name: string): Model => {
    const named = find(settings, name);
    if (named.kind === 'model') return named.model;
    const model = pick(named.alias);
    if (!model) throw aliasUnserved(named);
    return model;
  };

  return {
    simulated,
    typesOf(name) {
      const named = find(settings, name);
      return [...(named.kind === 'model' ? named.model.types : named.alias.types)];
    },
    targets(name, type) {
      const named = find(settings, name);
      if (named.kind === 'alias' && !named.alias.types.includes(type)) throw mismatch(name, type, named.alias.types);
      return targetsOf(resolve(name), type);
    },
    checkParameters(name, type, parameters) {
      const line = lineOf(resolve(name), type);
      // The model itself decides; its successors are asked only if the account lacks it.
      const first = line[0];
      if (first && !simulated) translateParameters(first.family, first.id, parameters);
    },
    noteMissing: missing.note,
    costUsd: (provider, model, usage) => {
      const known = modelOf(model);
      return known?.provider === provider ? priceOf(known, usage) : undefined;
    },
    list() {
      const served = MODELS.filter(({ provider }) => simulated || providers.has(provider)).map(info);
      const aliases = Object.entries(ALIASES).flatMap(([id, alias]): ModelInfo[] => {
        const model = pick(alias);
        return model ? [{ id, aliasOf: model.id, ownedBy: model.provider, types: [...alias.types] }] : [];
      });
      return [...aliases, ...served];
    },
  };
};

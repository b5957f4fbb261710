import type { ModelType } from '../jobs/job.ts';
import type { ParameterFamily } from './parameters.ts';
import type { ProviderName } from './provider.ts';

/** USD per million tokens. A price that is not known is absent, never 0; `output` is absent too where nothing is put out but vectors. */
type Price = { input: number; output?: number; cachedInput?: number; cacheWrite?: number; imageInput?: number };

/** What is known of one model. Adding a model is one entry of `MODELS`. */
export type Model = {
  id: string;
  provider: ProviderName;
  types: readonly ModelType[];
  /** How `parameters` are said to this model (parameters.ts). */
  family: ParameterFamily;
  price?: Price;
  contextTokens?: number;
  maxOutputTokens?: number;
  /** Numbers of each vector, unless fewer are asked for. */
  dimensions?: number;
  /** ISO date of the vendor's announcement; some accounts keep a model longer, so it is still tried as itself first. */
  shutdownDate?: string;
  /** Who answers instead, of the same vendor. Followed until one serves the type that is asked for. */
  successor?: string;
};

const CHAT = ['chat'] as const;
const SEEING = ['chat', 'vision'] as const;
const IMAGE = ['image'] as const;
const EMBEDDING = ['embedding'] as const;

const OSS = 'openai/gpt-oss-120b';
const SMALL_OSS = 'openai/gpt-oss-20b';

// console.groq.com/docs/models and /docs/deprecations; prices per million tokens.
const GROQ = [
  { id: OSS, types: CHAT, family: 'groq-gpt-oss', price: { input: 0.15, output: 0.6, cachedInput: 0.075 }, contextTokens: 131_072, maxOutputTokens: 65_536 },
  { id: SMALL_OSS, types: CHAT, family: 'groq-gpt-oss', price: { input: 0.075, output: 0.3 }, contextTokens: 131_072, maxOutputTokens: 65_536 },
  { id: 'qwen/qwen3.6-27b', types: CHAT, family: 'groq-qwen' },
  {
    id: 'llama-3.3-70b-versatile',
    types: CHAT,
    family: 'groq-llama',
    price: { input: 0.59, output: 0.79 },
    contextTokens: 131_072,
    maxOutputTokens: 32_768,
    shutdownDate: '2026-08-16',
    successor: OSS,
  },
  { id: 'llama-3.1-8b-instant', types: CHAT, family: 'groq-llama', contextTokens: 131_072, shutdownDate: '2026-08-16', successor: SMALL_OSS },
  { id: 'qwen/qwen3-32b', types: CHAT, family: 'groq-qwen', contextTokens: 131_072, shutdownDate: '2026-08-16', successor: OSS },
  { id: 'meta-llama/llama-4-scout-17b-16e-instruct', types: SEEING, family: 'groq-llama', contextTokens: 131_072, shutdownDate: '2026-07-17', successor: OSS },
  { id: 'llama3-70b-8192', types: CHAT, family: 'groq-llama', contextTokens: 8192, shutdownDate: '2025-08-30', successor: OSS },
  { id: 'llama3-8b-8192', types: CHAT, family: 'groq-llama', contextTokens: 8192, shutdownDate: '2025-08-30', successor: SMALL_OSS },
] as const satisfies Omit<Model, 'provider'>[];

const LUNA = 'gpt-6-luna';

// developers.openai.com/api/docs/models and /docs/deprecations.
const OPENAI_CHAT = [
  { id: 'gpt-6.1-sol', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-6.1-terra', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-6-astra', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-6-sol', types: SEEING, family: 'openai-chat' },
  { id: LUNA, types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.6-sol', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.6-terra', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.6-luna', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.5', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.4', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.4-mini', types: SEEING, family: 'openai-chat', price: { input: 0.75, output: 4.5 } },
  { id: 'gpt-5.4-nano', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.2', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5.1', types: SEEING, family: 'openai-chat' },
  { id: 'gpt-5', types: SEEING, family: 'openai-reasoning', shutdownDate: '2026-12-11', successor: 'gpt-6.1-sol' },
  { id: 'gpt-5-mini', types: SEEING, family: 'openai-reasoning', shutdownDate: '2026-12-11', successor: 'gpt-6.1-terra' },
  { id: 'gpt-5-nano', types: SEEING, family: 'openai-reasoning', shutdownDate: '2026-12-11', successor: 'gpt-6.1-terra' },
  { id: 'o3', types: SEEING, family: 'openai-reasoning', shutdownDate: '2026-12-11', successor: 'gpt-6.1-sol' },
  { id: 'o4-mini', types: SEEING, family: 'openai-reasoning', shutdownDate: '2026-10-23', successor: 'gpt-5.6-terra' },
  { id: 'o3-mini', types: CHAT, family: 'openai-reasoning', shutdownDate: '2026-10-23', successor: 'gpt-5.6-terra' },
  { id: 'o1', types: SEEING, family: 'openai-reasoning', shutdownDate: '2026-10-23', successor: 'gpt-5.6-sol' },
  {
    id: 'gpt-4o',
    types: SEEING,
    family: 'openai-plain',
    price: { input: 2.5, output: 10 },
    contextTokens: 128_000,
    maxOutputTokens: 16_384,
    shutdownDate: '2027-01-14',
    successor: LUNA,
  },
  {
    id: 'gpt-4o-mini',
    types: SEEING,
    family: 'openai-plain',
    price: { input: 0.15, output: 0.6 },
    contextTokens: 128_000,
    maxOutputTokens: 16_384,
    shutdownDate: '2027-01-14',
    successor: LUNA,
  },
  { id: 'gpt-4.1', types: SEEING, family: 'openai-plain', contextTokens: 1_047_576, maxOutputTokens: 32_768, shutdownDate: '2027-01-14', successor: LUNA },
  {
    id: 'gpt-4.1-mini',
    types: SEEING,
    family: 'openai-plain',
    price: { input: 0.4, output: 1.6 },
    contextTokens: 1_047_576,
    maxOutputTokens: 32_768,
    shutdownDate: '2027-01-14',
    successor: LUNA,
  },
  { id: 'gpt-4.1-nano', types: SEEING, family: 'openai-plain', contextTokens: 1_047_576, shutdownDate: '2026-10-23', successor: 'gpt-5.6-luna' },
  { id: 'gpt-4-turbo', types: SEEING, family: 'openai-plain', contextTokens: 128_000, shutdownDate: '2026-10-23', successor: 'gpt-5.6-luna' },
  { id: 'gpt-4', types: CHAT, family: 'openai-plain', contextTokens: 8192, shutdownDate: '2026-10-23', successor: 'gpt-5.6-luna' },
  { id: 'gpt-3.5-turbo', types: CHAT, family: 'openai-plain', contextTokens: 16_385, shutdownDate: '2026-10-23', successor: 'gpt-5.6-luna' },
  { id: 'gpt-4-vision-preview', types: SEEING, family: 'openai-vision-preview', contextTokens: 128_000, shutdownDate: '2024-12-06', successor: LUNA },
] as const satisfies Omit<Model, 'provider'>[];

const IMAGE_2 = 'gpt-image-2';
const IMAGE_2_PRICE = { input: 5, cachedInput: 1.25, imageInput: 8, output: 30 };

const OPENAI_IMAGE = [
  { id: IMAGE_2, types: IMAGE, family: 'gpt-image-2', price: IMAGE_2_PRICE },
  { id: 'gpt-image-2.6-sunburst', types: IMAGE, family: 'gpt-image-2.6', price: IMAGE_2_PRICE },
  { id: 'gpt-image-2.6-flare', types: IMAGE, family: 'gpt-image-2.6' },
  { id: 'gpt-image-2.5-sunburst', types: IMAGE, family: 'gpt-image-2.5' },
  { id: 'gpt-image-2.5-flare', types: IMAGE, family: 'gpt-image-2.5' },
  {
    id: 'gpt-image-1.5',
    types: IMAGE,
    family: 'gpt-image-1',
    price: { input: 5, cachedInput: 1.25, imageInput: 8, output: 32 },
    shutdownDate: '2026-12-01',
    successor: IMAGE_2,
  },
  {
    id: 'gpt-image-1-mini',
    types: IMAGE,
    family: 'gpt-image-1',
    price: { input: 2, cachedInput: 0.2, imageInput: 2.5, output: 8 },
    shutdownDate: '2026-12-01',
    successor: IMAGE_2,
  },
  { id: 'chatgpt-image-latest', types: IMAGE, family: 'gpt-image-1', shutdownDate: '2026-12-01', successor: IMAGE_2 },
  { id: 'gpt-image-1', types: IMAGE, family: 'gpt-image-1', shutdownDate: '2026-10-23', successor: IMAGE_2 },
  { id: 'dall-e-3', types: IMAGE, family: 'dall-e-3', shutdownDate: '2026-05-12', successor: IMAGE_2 },
  { id: 'dall-e-2', types: IMAGE, family: 'dall-e-2', shutdownDate: '2026-05-12', successor: IMAGE_2 },
] as const satisfies Omit<Model, 'provider'>[];

const EMBEDDING_SMALL = 'text-embedding-3-small';

// developers.openai.com/api/docs/models/text-embedding-3-large and its siblings.
const OPENAI_EMBEDDING = [
  { id: EMBEDDING_SMALL, types: EMBEDDING, family: 'text-embedding-3-small', price: { input: 0.02 }, contextTokens: 8192, dimensions: 1536 },
  { id: 'text-embedding-3-large', types: EMBEDDING, family: 'text-embedding-3-large', price: { input: 0.13 }, contextTokens: 8192, dimensions: 3072 },
  { id: 'text-embedding-ada-002', types: EMBEDDING, family: 'text-embedding-ada-002', price: { input: 0.1 }, contextTokens: 8192, dimensions: 1536 },
] as const satisfies Omit<Model, 'provider'>[];

const SONNET = 'claude-sonnet-5-5';

const HAIKU = 'claude-haiku-5-5';
/** What the models of Claude 5 hold. */
const LARGE = { contextTokens: 1_000_000, maxOutputTokens: 128_000 };
const SMALL = { contextTokens: 200_000, maxOutputTokens: 64_000 };
const OLD = { contextTokens: 200_000, maxOutputTokens: 8192 };

// platform.claude.com/docs/en/models/overview and each model's page. Haiku 5.5 has one price up to 100,000 tokens of input and another above: it is not
// told here, since a job's price would be wrong by a factor of five.
const ANTHROPIC = [
  { id: 'claude-fable-5-2', types: SEEING, family: 'claude-always-thinking', price: { input: 8, output: 40 }, ...LARGE },
  { id: 'claude-fable-5-1', types: SEEING, family: 'claude-always-thinking', price: { input: 10, output: 50 }, ...LARGE },
  { id: 'claude-opus-5-5', types: SEEING, family: 'claude-always-thinking', price: { input: 4, output: 20 }, ...LARGE },
  { id: SONNET, types: SEEING, family: 'claude-sonnet-5.5', price: { input: 2, output: 10, cachedInput: 0.1, cacheWrite: 2.5 }, ...LARGE },
  { id: HAIKU, types: SEEING, family: 'claude-5', ...LARGE },
  { id: 'claude-opus-5', types: SEEING, family: 'claude-5', price: { input: 5, output: 25, cachedInput: 0.5, cacheWrite: 6.25 }, ...LARGE },
  { id: 'claude-sonnet-5', types: SEEING, family: 'claude-5', price: { input: 2, output: 10, cachedInput: 0.2, cacheWrite: 2.5 }, ...LARGE },
  { id: 'claude-opus-4-8', types: SEEING, family: 'claude-5', ...LARGE },
  { id: 'claude-opus-4-7', types: SEEING, family: 'claude-5', ...LARGE },
  { id: 'claude-opus-4-6', types: SEEING, family: 'claude-4.6', ...LARGE },
  { id: 'claude-sonnet-4-6', types: SEEING, family: 'claude-4.6', price: { input: 3, output: 15 }, contextTokens: 1_000_000, maxOutputTokens: 64_000 },
  { id: 'claude-haiku-4-5', types: SEEING, family: 'claude-4.5', price: { input: 1, output: 5 }, ...SMALL },
  { id: 'claude-opus-4-5', types: SEEING, family: 'claude-4.5', ...SMALL },
  { id: 'claude-sonnet-4-5', types: SEEING, family: 'claude-4.5', ...SMALL, shutdownDate: '2026-11-30', successor: SONNET },
  { id: 'claude-3-7-sonnet-20250219', types: SEEING, family: 'claude-3', ...SMALL, shutdownDate: '2026-02-19', successor: SONNET },
  { id: 'claude-3-5-haiku-20241022', types: SEEING, family: 'claude-3', ...OLD, shutdownDate: '2026-02-19', successor: HAIKU },
  { id: 'claude-3-5-sonnet-20241022', types: SEEING, family: 'claude-3', ...OLD, shutdownDate: '2025-10-28', successor: SONNET },
  { id: 'claude-3-5-sonnet-20240620', types: SEEING, family: 'claude-3', ...OLD, shutdownDate: '2025-10-28', successor: SONNET },
] as const satisfies Omit<Model, 'provider'>[];

const SIMULATED = [
  { id: 'simulated-chat', types: CHAT, family: 'simulated-chat' },
  { id: 'simulated-vision', types: SEEING, family: 'simulated-chat' },
  { id: 'simulated-image', types: IMAGE, family: 'simulated-image' },
  { id: 'simulated-embedding', types: EMBEDDING, family: 'simulated-embedding', dimensions: 256 },
] as const satisfies Omit<Model, 'provider'>[];

const of = (provider: ProviderName, models: readonly Omit<Model, 'provider'>[]): Model[] => models.map((model) => ({ ...model, provider }));

/** Every model known by name. */
export const MODELS: readonly Model[] = [
  ...of('groq', GROQ),
  ...of('openai', [...OPENAI_CHAT, ...OPENAI_IMAGE, ...OPENAI_EMBEDDING]),
  ...of('anthropic', ANTHROPIC),
  ...of('simulated', SIMULATED),
];

/** An alias stands for the first of `candidates` whose vendor is enabled; with no key at all for `simulated`. */
export type Alias = { types: readonly ModelType[]; candidates: readonly string[]; simulated: string };

/** The names a client can use without knowing any vendor. */
export const ALIASES: Readonly<Record<string, Alias>> = {
  'chat-default': { types: CHAT, candidates: [OSS, LUNA, SONNET], simulated: 'simulated-chat' },
  'vision-default': { types: ['vision'], candidates: [LUNA, SONNET], simulated: 'simulated-vision' },
  'image-default': { types: IMAGE, candidates: [IMAGE_2], simulated: 'simulated-image' },
  'embedding-default': { types: EMBEDDING, candidates: [EMBEDDING_SMALL], simulated: 'simulated-embedding' },
};

const BY_ID: ReadonlyMap<string, Model> = new Map(MODELS.map((model) => [model.id, model]));

/** How a vendor dates its snapshots. */
const DATED: Readonly<Partial<Record<ProviderName, RegExp>>> = { openai: /^(.+)-\d{4}-\d{2}-\d{2}$/, anthropic: /^(.+)-\d{8}$/ };

/** `gpt-4o-2024-08-06`: a dated snapshot of a model is that model under another id, and the model answers in its place. */
const snapshotOf = (id: string): Model | undefined => {
  const model = Object.entries(DATED)
    .map(([provider, dated]) => ({ provider, found: BY_ID.get(dated.exec(id)?.[1] ?? '') }))
    .find(({ provider, found }) => found?.provider === provider)?.found;
  if (!model) return undefined;
  const { shutdownDate: _ofTheModel, ...rest } = model;
  return { ...rest, id, successor: model.id };
};

/** The model of that exact id, or the model it is a dated snapshot of. */
export const modelOf = (id: string): Model | undefined => BY_ID.get(id) ?? snapshotOf(id);

/** The parameter words of a provider's model; `otherwise` for one the catalogue does not know (an operator's own server). */
export const familyOf = (provider: ProviderName, id: string, otherwise: ParameterFamily): ParameterFamily => {
  const model = modelOf(id);
  return model?.provider === provider ? model.family : otherwise;
};

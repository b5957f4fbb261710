import { z } from 'zod';
import type { AzureSettings } from './blobs/azure.ts';
import { type ProviderLimits, providerLimits } from './provider-limits.ts';

/** The queues a worker can serve now. */
export const QUEUE_NAMES = ['chat', 'image', 'vision', 'embedding', 'ingest', 'batch', 'webhook'] as const;
export type QueueName = (typeof QUEUE_NAMES)[number];

/** An empty variable counts as unset: compose files and .env files write `NAME=`. */
const unset = (value: unknown): unknown => (value === '' ? undefined : value);
const optional = <T extends z.ZodType>(schema: T) => z.preprocess(unset, schema.optional());
const withDefault = <T extends z.ZodType>(schema: T, value: z.input<T>) => z.preprocess((given) => unset(given) ?? value, schema);

const integer = (min: number, max: number) =>
  z.coerce.number({ error: 'must be a number' }).int('must be a whole number').min(min, `must be at least ${min}`).max(max, `must be at most ${max}`);
const flag = z.enum(['true', 'false'], { error: 'must be true or false' }).transform((value) => value === 'true');
const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).transform((url) => url.replace(/\/+$/, ''));
const queueList = z
  .string()
  .transform((list) =>
    list
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean),
  )
  .pipe(z.array(z.enum([...QUEUE_NAMES, 'all'], { error: `must be all or a comma-separated list of ${QUEUE_NAMES.join(', ')}` })).min(1, 'names no queue'))
  .transform((names): QueueName[] => QUEUE_NAMES.filter((queue) => names.includes('all') || names.includes(queue)));

const schema = z.object({
  PORT: withDefault(integer(0, 65_535), 3000),
  HOST: withDefault(z.string(), '127.0.0.1'),
  FANA_DATA_DIR: withDefault(z.string(), '.fana'),
  REDIS_URL: z.preprocess(unset, z.url({ protocol: /^rediss?$/, error: 'must be a redis:// or rediss:// URL' })),
  FANA_ADMIN_KEY: z.preprocess(unset, z.string({ error: 'is required' }).min(32, 'must have 32 characters or more')),
  GROQ_API_KEY: optional(z.string()),
  OPENAI_API_KEY: optional(z.string()),
  ANTHROPIC_API_KEY: optional(z.string()),
  GROQ_BASE_URL: optional(httpUrl),
  OPENAI_BASE_URL: optional(httpUrl),
  ANTHROPIC_BASE_URL: optional(httpUrl),
  FANA_WORKER_QUEUES: withDefault(queueList, QUEUE_NAMES.join(',')),
  FANA_CONCURRENCY_CHAT: withDefault(integer(1, 10_000), 50),
  FANA_CONCURRENCY_IMAGE: withDefault(integer(1, 10_000), 20),
  FANA_CONCURRENCY_VISION: withDefault(integer(1, 10_000), 20),
  FANA_CONCURRENCY_EMBEDDING: withDefault(integer(1, 10_000), 20),
  FANA_CONCURRENCY_INGEST: withDefault(integer(1, 10_000), 2),
  FANA_CONCURRENCY_BATCH: withDefault(integer(1, 10_000), 64),
  FANA_CONCURRENCY_WEBHOOK: withDefault(integer(1, 10_000), 50),
  FANA_BLOB_STORE: withDefault(z.enum(['local', 'azure'], { error: 'must be local or azure' }), 'local'),
  AZURE_STORAGE_CONNECTION_STRING: optional(
    z.string().refine((text) => /(^|;)(AccountName|BlobEndpoint|UseDevelopmentStorage)=/.test(text), 'must be a connection string of an Azure Storage account'),
  ),
  AZURE_STORAGE_ACCOUNT: optional(z.string().regex(/^[a-z0-9]{3,24}$/, 'must be the name of an Azure Storage account')),
  AZURE_STORAGE_CONTAINER: withDefault(
    z.string().regex(/^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, 'must be the name of a container: 3 to 63 lower-case letters, digits and single hyphens'),
    'fana',
  ),
  FANA_PUBLIC_URL: optional(httpUrl),
  FANA_ALLOW_PRIVATE_NETWORK: withDefault(flag, 'false'),
  FANA_SIGNING_SECRET: z.preprocess(unset, z.string({ error: 'is required' }).min(32, 'must have 32 characters or more')),
  FANA_RESULT_TTL_SECONDS: withDefault(integer(1, 31_536_000), 604_800),
  FANA_BLOB_TTL_SECONDS: withDefault(integer(1, 315_360_000), 2_592_000),
  FANA_SYSTEM_PROMPT: withDefault(z.string().max(100_000), 'You are a helpful assistant. Answer in the language of the user.'),
  FANA_PROVIDER_LIMITS: optional(providerLimits),
  FANA_TRIGGER_MODEL: optional(z.string()),
  FANA_EMBEDDING_MODEL: optional(z.string()),
  LOG_LEVEL: withDefault(z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], { error: 'must be a pino level' }), 'info'),
});

/** Every variable this version reads; `.env.example` is compared with it by a test. */
export const SETTINGS = Object.keys(schema.shape);

export type Config = ReturnType<typeof group>;

/** The account's key wins over the identity of the process. */
const azureOf = (env: z.output<typeof schema>): AzureSettings | undefined => {
  const { FANA_BLOB_STORE: store, AZURE_STORAGE_CONNECTION_STRING: connectionString, AZURE_STORAGE_ACCOUNT: name, AZURE_STORAGE_CONTAINER: container } = env;
  if (store !== 'azure') return undefined;
  return { account: connectionString === undefined ? { name: name ?? '' } : { connectionString }, container };
};

const group = (env: z.output<typeof schema>) => ({
  http: { port: env.PORT, host: env.HOST, publicUrl: env.FANA_PUBLIC_URL ?? `http://${env.HOST}:${env.PORT}` },
  dataDir: env.FANA_DATA_DIR,
  redis: { url: env.REDIS_URL },
  adminKey: env.FANA_ADMIN_KEY,
  signingSecret: env.FANA_SIGNING_SECRET,
  providers: {
    groq: { apiKey: env.GROQ_API_KEY, baseUrl: env.GROQ_BASE_URL },
    openai: { apiKey: env.OPENAI_API_KEY, baseUrl: env.OPENAI_BASE_URL },
    anthropic: { apiKey: env.ANTHROPIC_API_KEY, baseUrl: env.ANTHROPIC_BASE_URL },
  },
  pacing: { limits: env.FANA_PROVIDER_LIMITS ?? ({} as ProviderLimits) },
  worker: {
    queues: env.FANA_WORKER_QUEUES,
    concurrency: {
      chat: env.FANA_CONCURRENCY_CHAT,
      image: env.FANA_CONCURRENCY_IMAGE,
      vision: env.FANA_CONCURRENCY_VISION,
      embedding: env.FANA_CONCURRENCY_EMBEDDING,
      ingest: env.FANA_CONCURRENCY_INGEST,
      batch: env.FANA_CONCURRENCY_BATCH,
      webhook: env.FANA_CONCURRENCY_WEBHOOK,
    } satisfies Record<QueueName, number>,
  },
  blobs: { ttlSeconds: env.FANA_BLOB_TTL_SECONDS, azure: azureOf(env) },
  results: { ttlSeconds: env.FANA_RESULT_TTL_SECONDS },
  web: { allowPrivateNetwork: env.FANA_ALLOW_PRIVATE_NETWORK },
  systemPrompt: env.FANA_SYSTEM_PROMPT,
  triggers: { model: env.FANA_TRIGGER_MODEL },
  retrieval: { embeddingModel: env.FANA_EMBEDDING_MODEL },
  logLevel: env.LOG_LEVEL,
});

/** Raised by `loadConfig` with one line for each bad variable; no line holds a value. */
export class ConfigError extends Error {
  readonly problems: string[];
  constructor(problems: string[]) {
    super(`Bad or missing settings:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const isAzureUnnamed = (env: Record<string, string | undefined>): boolean =>
  env['FANA_BLOB_STORE'] === 'azure' && !env['AZURE_STORAGE_CONNECTION_STRING'] && !env['AZURE_STORAGE_ACCOUNT'];

/**
 * Reads the environment once, at the start of each process.
 * @throws ConfigError naming every bad or missing variable.
 */
export const loadConfig = (env: Record<string, string | undefined>): Config => {
  const parsed = schema.safeParse(env);
  const missing = isAzureUnnamed(env) ? ['AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT is required by FANA_BLOB_STORE=azure'] : [];
  if (parsed.success && missing.length === 0) return Object.freeze(group(parsed.data));
  const wrong = (parsed.error?.issues ?? []).map((issue) => {
    const name = String(issue.path[0]);
    return `${name} ${env[name] === undefined || env[name] === '' ? 'is required' : issue.message}`;
  });
  const problems = [...wrong, ...missing];
  throw new ConfigError([...new Set(problems)]);
};

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ChainableCommander, Redis, type RedisOptions } from 'ioredis';
import { AppError, toAppError } from './errors.ts';

/** How long a producer waits for Redis: an answer is due within 2 s. */
const PRODUCER_TIMEOUT_MS = 1000;
/** And for the messages that follow the records: both together stay under those 2 s. */
export const QUEUE_TIMEOUT_MS = 800;

/**
 * A connection for producers (the API): fails fast, so that a request is answered within 2 s when Redis is gone.
 * A timed-out command may still have been executed; every write we send is safe to repeat.
 */
export const connectProducer = (url: string): Redis =>
  connect(url, { commandTimeout: PRODUCER_TIMEOUT_MS, maxRetriesPerRequest: 0, enableOfflineQueue: false });

/** As `connectProducer`, for BullMQ's queues: the time limit is that of the group of messages (queues.ts), not one of each command. */
export const connectQueueProducer = (url: string): Redis => connect(url, { maxRetriesPerRequest: 0, enableOfflineQueue: false });

/** A connection for consumers (workers): waits for Redis as long as it takes. */
export const connectConsumer = (url: string): Redis => connect(url, { maxRetriesPerRequest: null });

/** A connection for SUBSCRIBE: re-subscribes by itself after a reconnect. */
export const connectSubscriber = (url: string): Redis => connect(url, { maxRetriesPerRequest: null, autoResubscribe: true });

const connect = (url: string, options: RedisOptions): Redis =>
  // RESP3 with the reply shapes of RESP2 (HGETALL as an object): ioredis' default, said aloud.
  new Redis(url, { ...options, replyMapping: 'legacy', connectTimeout: 2000, retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 5), 1000) });

/**
 * Resolves once `redis` is ready.
 * @throws AppError `unavailable` after `timeoutMs`, or when it is a Redis Cluster (not supported: our scripts use several keys).
 */
export const assertUsable = async (redis: Redis, timeoutMs = 10_000): Promise<void> => {
  if (redis.status !== 'ready') {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new AppError('unavailable', `Redis did not answer within ${timeoutMs} ms.`)), timeoutMs);
      redis.once('ready', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
  const info = await redis.info('cluster');
  if (/cluster_enabled:1/.test(info))
    throw new AppError('unavailable', 'REDIS_URL points at a Redis Cluster, which FANA does not support: use a single primary.');
};

/** Runs a Lua script and resolves to its reply as Redis gave it. Throws what Redis says when the script fails. */
export type Script = (redis: Redis, keys: string[], args: (string | number)[]) => Promise<unknown>;

/** `-- @include ../noun/name.lua` on a line of its own stands for the text of that file. The build leaves only the name: there they lie side by side. */
const readScript = (url: URL): string =>
  readFileSync(url, 'utf8').replace(/^-- @include (\S+)$/gm, (_, path: string) => readScript(new URL(path, url)).trimEnd());

/**
 * A Lua script beside the calling file. Sent by its hash; by its text only when Redis does not know it (after a restart).
 * The build copies every `.lua` file beside the bundle, so `import.meta.url` finds it there too.
 */
export const loadScript = (moduleUrl: string, fileName: string): Script => {
  const text = readScript(new URL(fileName, moduleUrl));
  const sha = createHash('sha1').update(text).digest('hex');
  return async (redis, keys, args) => {
    try {
      return await redis.evalsha(sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return await redis.eval(text, keys.length, ...keys, ...args);
    }
  };
};

/**
 * Runs a pipeline and returns its replies. `exec` alone reports a failed command in its row and resolves all the same.
 * @throws AppError `unavailable` (or the command's own error) for the first row that failed.
 */
export const execute = async (pipeline: ChainableCommander): Promise<unknown[]> => {
  const rows = (await pipeline.exec()) ?? [];
  return rows.map(([error, reply]) => {
    if (error) throw toAppError(error);
    return reply;
  });
};

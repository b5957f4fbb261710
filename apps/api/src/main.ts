import { ConfigError, loadConfig } from '@fana/core/config.ts';
import { createDeps } from '@fana/core/create-deps.ts';
import { AppError } from '@fana/core/errors.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { createLogger } from '@fana/core/logger.ts';
import { assertUsable, connectProducer, connectQueueProducer, connectSubscriber, QUEUE_TIMEOUT_MS } from '@fana/core/redis.ts';
import { onShutdown } from '@fana/core/shutdown.ts';
import { createKeyRing } from '@fana/core/tenants/keys.ts';
import { createApp } from './app.ts';
import { createJobWatcher } from './job-watcher.ts';
import { listen } from './listen.ts';
import { createWaiters } from './openai/waiters.ts';

/** Requests under way are answered within this at the end; those who only wait and event streams end at once, their readers resume elsewhere. */
const DRAIN_MS = 10_000;

const start = async (): Promise<void> => {
  const config = loadConfig(process.env);
  const logger = createLogger('api', config.logLevel);
  const redis = connectProducer(config.redis.url);
  const bull = connectQueueProducer(config.redis.url);
  const subscriber = connectSubscriber(config.redis.url);
  for (const connection of [redis, bull, subscriber]) connection.on('error', (error) => logger.warn({ err: error }, 'redis connection'));
  await Promise.all([assertUsable(redis), assertUsable(bull)]);
  const core = createDeps({ config, logger, redis, queueConnection: bull, queueTimeoutMs: QUEUE_TIMEOUT_MS, subscriber });
  const keys = createKeyRing({ ...core, subscriber });
  const deps = { ...core, keys, acceptor: createAcceptor(core), watcher: createJobWatcher(subscriber), waiters: createWaiters(redis, logger) };
  const server = await listen(createApp(deps), config.http);
  logger.info({ port: config.http.port, simulated: deps.providers.simulated }, 'api is ready');

  onShutdown(logger, async (phase) => {
    await phase('drain', DRAIN_MS, () => {
      const drained = server.drain();
      deps.watcher.close();
      return drained;
    });
    deps.retrieval.close();
    await phase('close', 2000, async () => {
      await deps.queues.close();
      for (const connection of [redis, bull, subscriber]) connection.disconnect();
    });
  });
};

start().catch((error: unknown) => {
  console.error(error instanceof ConfigError || error instanceof AppError ? error.message : error);
  process.exit(1);
});

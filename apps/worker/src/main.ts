import { ConfigError, loadConfig } from '@fana/core/config.ts';
import { createDeps } from '@fana/core/create-deps.ts';
import { AppError } from '@fana/core/errors.ts';
import { createLogger } from '@fana/core/logger.ts';
import { assertUsable, connectConsumer, connectSubscriber } from '@fana/core/redis.ts';
import { onShutdown } from '@fana/core/shutdown.ts';
import { loadLanguageDetector } from '@fana/core/triggers/language.ts';
import { createAsideMover } from './aside-mover.ts';
import { createBatchKeeper } from './batch-leases.ts';
import { createLeaseKeeper } from './leases.ts';
import { SWEEP_EVERY_MS } from './sweep.ts';
import { createWorkers } from './workers.ts';

/** Contract 1: the drain takes at most 30 s; what runs after this part of it is given back to the queue. */
const DRAIN_MS = 22_000;
const GIVE_BACK_MS = 5_000;

const start = async (): Promise<void> => {
  const config = loadConfig(process.env);
  const logger = createLogger('worker', config.logLevel);
  const redis = connectConsumer(config.redis.url);
  const bull = connectConsumer(config.redis.url);
  const subscriber = connectSubscriber(config.redis.url);
  for (const connection of [redis, bull, subscriber]) connection.on('error', (error) => logger.warn({ err: error }, 'redis connection'));
  await Promise.all([assertUsable(redis), loadLanguageDetector()]);
  const deps = createDeps({ config, logger, redis, queueConnection: bull, subscriber });
  const keepers = { jobs: await createLeaseKeeper(deps, subscriber), batches: await createBatchKeeper(deps, subscriber) };
  await deps.queues.scheduleSweep(SWEEP_EVERY_MS);
  const aside = createAsideMover(deps);
  const workers = createWorkers(deps, keepers, bull);
  logger.info({ queues: config.worker.queues, simulated: deps.providers.simulated }, 'worker is ready');

  onShutdown(logger, async (phase) => {
    const drained = workers.drain();
    await phase('drain', DRAIN_MS, () => drained);
    for (const keeper of Object.values(keepers)) keeper.stopAll('shutdown');
    await phase('give back', GIVE_BACK_MS, () => drained);
    for (const keeper of Object.values(keepers)) keeper.close();
    deps.pacer.close();
    deps.retrieval.close();
    aside.close();
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

import { rm } from 'node:fs/promises';
import type { Config } from '@fana/core/config.ts';
import { createDeps } from '@fana/core/create-deps.ts';
import type { Deps } from '@fana/core/deps.ts';
import { createLogger } from '@fana/core/logger.ts';
import { connectConsumer } from '@fana/core/redis.ts';
import type { Redis } from 'ioredis';
import { testConfig } from './test-config.ts';

export type TestDeps = Deps & {
  /** Closes the queues and the connections, and removes the data folder unless it was given. */
  close: () => Promise<void>;
  connections: { redis: Redis; bull: Redis };
};

/** Core's world over a test's own Redis (testkit/redis.ts), with the configuration of `testConfig(overrides)`. */
export const testDeps = (redisUrl: string, overrides: Record<string, string> = {}): TestDeps => {
  const config: Config = testConfig({ REDIS_URL: redisUrl, ...overrides });
  const redis = connectConsumer(redisUrl);
  const bull = connectConsumer(redisUrl);
  // A test that stops its Redis would otherwise end with an unheard 'error' event.
  for (const connection of [redis, bull]) connection.on('error', () => undefined);
  const deps = createDeps({ config, logger: createLogger('test', config.logLevel), redis, queueConnection: bull });
  return {
    ...deps,
    connections: { redis, bull },
    async close() {
      deps.pacer.close();
      deps.retrieval.close();
      await deps.queues.close();
      redis.disconnect();
      bull.disconnect();
      if (overrides['FANA_DATA_DIR'] === undefined) await rm(config.dataDir, { recursive: true, force: true });
    },
  };
};

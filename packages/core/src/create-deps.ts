import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { createAsideFolder, withAside } from './blobs/aside.ts';
import { createAzureBlobs } from './blobs/azure.ts';
import { createLocalBlobs } from './blobs/local.ts';
import type { Config } from './config.ts';
import type { Deps } from './deps.ts';
import type { Logger } from './logger.ts';
import { createPacer } from './providers/pacing/pacer.ts';
import { createRegistry } from './providers/registry.ts';
import { createQueues } from './queues.ts';
import { createRetrieval } from './retrieval/retrieval.ts';
import { createEndpointDirectory } from './webhooks/endpoint-directory.ts';

type Parts = {
  config: Config;
  logger: Logger;
  /** For our own commands: a lean client, because a pipeline on one that carries BullMQ's 64 scripts costs ten times as much. */
  redis: Redis;
  /** For BullMQ's queues. */
  queueConnection: Redis;
  /** How long a group of messages may take; default: as long as Redis takes. */
  queueTimeoutMs?: number;
  /** Of connectSubscriber: changes made elsewhere are known at once; without it within 3 s. */
  subscriber?: Redis;
};

/** Builds the world of a process. The connections stay the caller's to close. */
export const createDeps = ({ config, logger, redis, queueConnection, queueTimeoutMs = Number.POSITIVE_INFINITY, subscriber }: Parts): Deps => ({
  config,
  logger,
  redis,
  queues: createQueues(queueConnection, queueTimeoutMs),
  blobs: withAside(config.blobs.azure ? createAzureBlobs(config.blobs.azure) : createLocalBlobs(join(config.dataDir, 'blobs')), redis),
  aside: createAsideFolder(config),
  providers: createRegistry(config),
  endpoints: createEndpointDirectory({ redis, subscriber, now: Date.now }),
  pacer: createPacer({ redis, config }),
  retrieval: createRetrieval(join(config.dataDir, 'retrieval')),
  now: Date.now,
});

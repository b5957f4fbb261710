import type { Redis } from 'ioredis';
import type { AsideFolder } from './blobs/aside.ts';
import type { BlobStore } from './blobs/blob.ts';
import type { Config } from './config.ts';
import type { Logger } from './logger.ts';
import type { Pacer } from './providers/pacing/pacer.ts';
import type { Registry } from './providers/provider.ts';
import type { Queues } from './queues.ts';
import type { Retrieval } from './retrieval/retrieval.ts';
import type { EndpointDirectory } from './webhooks/endpoint-directory.ts';

/** The passed-in world of a core function. Built once in each `main.ts`; a function asks for the part it needs. */
export type Deps = {
  config: Config;
  logger: Logger;
  redis: Redis;
  queues: Queues;
  blobs: BlobStore;
  /** What was paid for and is not in `blobs` yet, on this machine. */
  aside: AsideFolder;
  providers: Registry;
  /** The webhook endpoints of every tenant, as far as this process knows them. */
  endpoints: EndpointDirectory;
  /** Every provider call waits here for its turn, across all processes. */
  pacer: Pacer;
  /** The index of documents and the embedding model in the house; nothing of it is loaded before its first use. */
  retrieval: Retrieval;
  /** Unix milliseconds. */
  now: () => number;
};

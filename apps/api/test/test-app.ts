import { rm } from 'node:fs/promises';
import { createDeps } from '@fana/core/create-deps.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { createLogger } from '@fana/core/logger.ts';
import { assertUsable, connectProducer, connectSubscriber } from '@fana/core/redis.ts';
import type { Caller } from '@fana/core/tenants/caller.ts';
import { createKeyRing } from '@fana/core/tenants/keys.ts';
import { createKey, type NewKey } from '@fana/core/tenants/manage-keys.ts';
import { loadLanguageDetector } from '@fana/core/triggers/language.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { TEST_ADMIN_KEY, testConfig } from '@fana/testkit/test-config.ts';
import type { Hono } from 'hono';
import type { ApiDeps } from '../src/api-deps.ts';
import { createApp } from '../src/app.ts';
import type { Environment } from '../src/environment.ts';
import { createJobWatcher } from '../src/job-watcher.ts';
import { createWaiters } from '../src/openai/waiters.ts';

export type ApiCall = { method?: string; key?: string | undefined; body?: unknown; headers?: Record<string, string> };
/** A reply with its JSON read; `json` is undefined for anything else. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads into replies whose shape is what it checks
export type ApiReply = { status: number; headers: Headers; text: string; json: any };

export type TestApp = {
  app: Hono<Environment>;
  deps: ApiDeps;
  redis: TestRedis;
  /** Calls the API in this process; with the admin key unless `key` says otherwise ('' = no key). A `body` is sent as JSON, a string as it is. */
  call: (path: string, call?: ApiCall) => Promise<ApiReply>;
  /** A new key with all scopes but admin; returns its text and id. */
  newKey: (settings?: Partial<NewKey>) => Promise<{ key: string; id: string }>;
  stop: () => Promise<void>;
};

const installationAdmin: Pick<Caller, 'tenant'> = { tenant: 'default' };

/** The whole API on a private Redis and a data folder of its own, with the simulated provider. */
export const startTestApp = async (overrides: Record<string, string> = {}): Promise<TestApp> => {
  const redis = await startRedis();
  const config = testConfig({ REDIS_URL: redis.url, ...overrides });
  const [main, bull] = [connectProducer(redis.url), connectProducer(redis.url)];
  const subscriber = connectSubscriber(redis.url);
  const connections = [main, bull, subscriber];
  // Tests stop Redis on purpose; what a lost connection means is seen in the replies.
  for (const connection of connections) connection.on('error', () => undefined);
  await Promise.all([assertUsable(main), assertUsable(bull), loadLanguageDetector()]);
  const core = createDeps({ config, logger: createLogger('api', config.logLevel), redis: main, queueConnection: bull, subscriber });
  const deps: ApiDeps = {
    ...core,
    keys: createKeyRing({ ...core, subscriber }),
    acceptor: createAcceptor(core),
    watcher: createJobWatcher(subscriber),
    waiters: createWaiters(main, core.logger),
  };
  const app = createApp(deps);
  return {
    app,
    deps,
    redis,
    async call(path, { method, key = TEST_ADMIN_KEY, body, headers = {} } = {}) {
      const response = await app.request(path, {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: { ...(key !== '' && { authorization: `Bearer ${key}` }), ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const json = response.headers.get('content-type')?.startsWith('application/json') && text !== '' ? JSON.parse(text) : undefined;
      return { status: response.status, headers: response.headers, text, json };
    },
    async newKey(settings = {}) {
      const { record, key } = await createKey(core, installationAdmin, {
        tenant: 'acme',
        name: 'test',
        scopes: ['jobs', 'files', 'sessions', 'documents', 'webhooks', 'usage'],
        ...settings,
      });
      return { key, id: record.id };
    },
    async stop() {
      deps.retrieval.close();
      await deps.queues.close();
      for (const connection of connections) connection.disconnect();
      await redis.stop();
      if (overrides['FANA_DATA_DIR'] === undefined) await rm(config.dataDir, { recursive: true, force: true });
    },
  };
};

import { AppError } from '@fana/core/errors.ts';
import { Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { VERSION } from '../version.ts';

type HealthDeps = Pick<ApiDeps, 'redis' | 'blobs' | 'config' | 'providers'>;

/** A part that does not answer within this counts as away. */
const ANSWER_MS = 1000;

/** Whether the check succeeds within a second; why it did not is for the logs of the part itself. */
const succeeds = async (check: Promise<unknown>): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ANSWER_MS);
  });
  const answered = check.then(
    () => true,
    () => false,
  );
  const result = await Promise.race([answered, timeout]);
  clearTimeout(timer);
  return result;
};

const page = ({ config, providers }: HealthDeps): string => {
  const url = config.http.publicUrl;
  return `FANA ${VERSION}: a self-hosted, queue-driven engine for multimodal AI work.

Send a message; get an answer, a picture, or a picture read:

  curl ${url}/v1/jobs -H "Authorization: Bearer KEY" -H "Content-Type: application/json" -H "Prefer: wait=30" \\
    -d '{"input":"draw a fox in the snow"}'

  POST ${url}/v1/jobs                 submit a job
  GET  ${url}/v1/jobs/ID              poll it (?wait=30 waits for its end)
  GET  ${url}/v1/jobs/ID/events       follow it as server-sent events
  POST ${url}/v1/triggers/classify    what a message would become
  GET  ${url}/v1/models               what can be asked for
  GET  ${url}/readyz                  whether everything answers

The key is printed by npm start, or it is the FANA_ADMIN_KEY you set.
${providers.simulated ? '\nNo provider key is set: every answer and every picture comes from the simulated provider.\n' : ''}`;
};

/** `/` says what this is, `/healthz` that the process lives, `/readyz` that Redis and the blob store answer. No key is needed. */
export const healthRoutes = (deps: HealthDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.get('/', (c) => c.text(page(deps)));
  routes.get('/healthz', (c) => c.json({ status: 'ok' }));
  routes.get('/readyz', async (c) => {
    const [redis, blobs] = await Promise.all([succeeds(deps.redis.ping()), succeeds(deps.blobs.check())]);
    if (redis && blobs) return c.json({ status: 'ok' });
    const away = [...(redis ? [] : ['Redis']), ...(blobs ? [] : ['the blob store'])].join(' and ');
    throw new AppError('unavailable', `Not ready: ${away} did not answer within ${ANSWER_MS} ms.`);
  });
  for (const path of ['/', '/healthz', '/readyz']) routes.all(path, allowOnly('GET'));
  return routes;
};

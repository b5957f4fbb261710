import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { ENDED, finishJob, jobKey, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import type { DeliveryRecord } from '@fana/core/webhooks/delivery.ts';
import type { WebhookEndpoint } from '@fana/core/webhooks/endpoint.ts';
import type { WebhookEventType } from '@fana/core/webhooks/event.ts';
import { listDeliveries } from '@fana/core/webhooks/list-deliveries.ts';
import { createEndpoint, deleteEndpoint, findEndpoint, rotateSecret, updateEndpoint } from '@fana/core/webhooks/manage-endpoints.ts';
import { jobOccasion } from '@fana/core/webhooks/occasion.ts';
import { prepareDeliveries } from '@fana/core/webhooks/publish.ts';
import { redeliver } from '@fana/core/webhooks/redeliver.ts';
import { currentSecret } from '@fana/core/webhooks/secret.ts';
import { signatureHeaders } from '@fana/core/webhooks/sign.ts';
import { readDelivery } from '@fana/core/webhooks/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { type ReceivedRequest, type ReceiverOptions, startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createOriginSlots } from '../src/origin-slots.ts';
import { runDelivery } from '../src/run-delivery.ts';
import { sweep } from '../src/sweep.ts';

const TENANT = 't';
const DAY_MS = 24 * 3600 * 1000;
const NEVER_FULL = createOriginSlots(1000);

let redis: TestRedis;
let real: TestDeps;
/** `real` with a clock that a test turns forward. */
let deps: TestDeps;
let clockMs: number;
const receivers: WebhookReceiver[] = [];

beforeAll(async () => {
  redis = await startRedis();
  real = testDeps(redis.url, { FANA_ALLOW_PRIVATE_NETWORK: 'true' });
  deps = { ...real, now: () => clockMs };
});
afterAll(async () => {
  await real.close();
  await redis.stop();
  await Promise.all(receivers.map((one) => one.stop()));
});
beforeEach(async () => {
  await real.redis.flushall();
  real.endpoints.forget(TENANT);
  clockMs = Date.now();
});

const receiver = async (respond?: ReceiverOptions['respond']): Promise<WebhookReceiver> => {
  const started = await startReceiver(respond ? { respond } : {});
  receivers.push(started);
  return started;
};
const endpointAt = (url: string, ...eventTypes: WebhookEventType[]): Promise<WebhookEndpoint> =>
  createEndpoint(deps, { tenant: TENANT, name: 'one', url, eventTypes: eventTypes.length > 0 ? eventTypes : ['job.cancelled'] });
const submitted = async (webhook?: { url: string }): Promise<JobRecord> => {
  const body = { type: 'chat', input: 'hi', ...(webhook && { webhook }) };
  return (await submitJob(deps, createAcceptor(deps), { tenant: TENANT, keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' })).job;
};
const deliveriesOf = async (id: string): Promise<string[]> => ((await deps.redis.hget(jobKey(id), 'deliveries')) ?? '').split(' ').filter(Boolean);
/** A job that has been cancelled: the ids of what that owes. */
const owed = async (webhook?: { url: string }): Promise<string[]> => {
  const job = await submitted(webhook);
  await endJob(deps, job, { status: 'cancelled', lease: '' });
  return deliveriesOf(job.id);
};
const read = async (id = ''): Promise<DeliveryRecord> => (await readDelivery(deps.redis, id)) ?? Promise.reject(new Error('the delivery is gone'));
/** The next attempt of a delivery, as its message brings it. */
const attempt = async (id = ''): Promise<DeliveryRecord> => {
  const { attempts } = await read(id);
  await runDelivery(deps, NEVER_FULL, { id, run: attempts.length + 1 });
  return read(id);
};
const found = (endpoint: WebhookEndpoint): Promise<WebhookEndpoint> => findEndpoint(deps, TENANT, endpoint.id);
const signatureBy = ({ headers, body }: ReceivedRequest, secret: string): string | undefined =>
  signatureHeaders(String(headers['webhook-id']), Number(headers['webhook-timestamp']), body, [secret])['webhook-signature'];

describe('an event', () => {
  it('goes to every endpoint that asked for it, under one id, signed for each with its own secret', async () => {
    const [own, a, b, deaf] = await Promise.all([receiver(), receiver(), receiver(), receiver()]);
    const endpoints = [await endpointAt(a.url), await endpointAt(b.url, 'job.completed', 'job.cancelled'), await endpointAt(deaf.url, 'job.failed')];
    for (const id of await owed({ url: own.url })) expect((await attempt(id)).status).toBe('delivered');
    expect([own, a, b, deaf].map(({ requests }) => requests.length)).toEqual([1, 1, 1, 0]);
    const requests = [own, a, b].flatMap((to) => to.requests);
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(requests.map(({ body }) => body)).size).toBe(1);
    const secrets = endpoints.map((endpoint) => currentSecret(deps, endpoint));
    const signatures = requests.map(({ headers }) => headers['webhook-signature']);
    expect(signatures).toEqual([expect.anything(), ...requests.slice(1).map((request, at) => signatureBy(request, secrets[at] ?? ''))]);
    expect(new Set(signatures).size).toBe(3);
  });

  it('of a job whose worker died between the end and the messages is brought by the sweep', async () => {
    const [a, b] = await Promise.all([receiver(), receiver()]);
    await endpointAt(a.url);
    await endpointAt(b.url);
    const job = await submitted();
    const deliveries = await prepareDeliveries(deps, jobOccasion(job, 'cancelled'));
    await finishJob(deps.redis, { id: job.id, tenant: TENANT, run: 1, lease: '', status: 'cancelled', resultTtlMs: 60_000, deliveries, fields: {} });
    expect(deliveries).toHaveLength(2);
    const messages = () => Promise.all(deliveries.map(({ id }) => deps.redis.exists(`fana:bull:webhook:${id}-1`)));
    expect(await messages()).toEqual([0, 0]);
    clockMs += 6000;
    await sweep(deps);
    expect(await messages()).toEqual([1, 1]);
  });

  it('that happens while an endpoint is disabled is not told to it, also not later', async () => {
    const endpoint = await endpointAt((await receiver()).url);
    await updateEndpoint(deps, TENANT, endpoint.id, { enabled: false });
    expect(await owed()).toEqual([]);
    await updateEndpoint(deps, TENANT, endpoint.id, { enabled: true });
    expect((await listDeliveries(deps, { tenant: TENANT, endpointId: endpoint.id }, { limit: 10 })).deliveries).toEqual([]);
    expect(await owed()).toHaveLength(1);
  });
});

describe('an endpoint that answers 410', () => {
  it('is disabled at once, what is pending for it is given up, and it is told nothing more', async () => {
    const to = await receiver((_, number) => (number === 0 ? 500 : 410));
    const endpoint = await endpointAt(to.url);
    const [first] = await owed();
    const [second] = await owed();
    expect((await attempt(first)).status).toBe('pending');
    expect(await attempt(second)).toMatchObject({ status: 'failed', failureReason: 'receiver_gone', attempts: [{ status: 410 }] });
    expect((await found(endpoint)).disabled).toEqual({ reason: 'gone', atMs: clockMs });
    expect(await read(first)).toMatchObject({ status: 'failed', failureReason: 'endpoint_disabled', attempts: [{ status: 500 }] });
    expect(await owed()).toEqual([]);
    for (const id of [first, second]) await attempt(id);
    expect(to.requests).toHaveLength(2);
  });

  it('lets the jobs expire whose deliveries it ends', async () => {
    const endpoint = await endpointAt((await receiver(() => 410)).url);
    const job = await submitted();
    await endJob(deps, job, { status: 'cancelled', lease: '' });
    expect(await deps.redis.zscore(ENDED, job.id)).toBeNull();
    await attempt((await deliveriesOf(job.id))[0]);
    expect(await deps.redis.zscore(ENDED, job.id)).toBe(String((await readJob(deps.redis, job.id))?.expiresMs));
    expect((await found(endpoint)).disabled).toBeDefined();
  });

  it('is no endpoint when it is the URL of one job: only that delivery ends', async () => {
    const to = await receiver(() => 410);
    const [first] = await owed({ url: to.url });
    expect(await attempt(first)).toMatchObject({ status: 'failed', failureReason: 'receiver_gone' });
    expect(await owed({ url: to.url })).toHaveLength(1);
  });

  it('at an address it has no longer stays as it is', async () => {
    const moved = await receiver();
    // The answer comes after the change.
    const to = await startReceiver({ respond: () => ({ status: 410, delayMs: 300 }) });
    receivers.push(to);
    const endpoint = await endpointAt(to.url);
    const [first] = await owed();
    const running = attempt(first);
    await to.waitFor(1);
    await updateEndpoint(deps, TENANT, endpoint.id, { url: moved.url });
    expect((await running).status).toBe('failed');
    expect((await found(endpoint)).disabled).toBeUndefined();
    const [second] = await owed();
    expect((await attempt(second)).status).toBe('delivered');
    expect(moved.requests).toHaveLength(1);
  });
});

describe('an endpoint that fails', () => {
  it('is disabled by the first failure after 5 days without a success, not before', async () => {
    const to = await receiver(() => 503);
    const endpoint = await endpointAt(to.url);
    const startMs = clockMs;
    await attempt((await owed())[0]);
    expect((await found(endpoint)).failingSinceMs).toBe(startMs);
    clockMs = startMs + 5 * DAY_MS - 1;
    const [pending] = await owed();
    await attempt(pending);
    expect(await found(endpoint)).toMatchObject({ failingSinceMs: startMs });
    expect((await found(endpoint)).disabled).toBeUndefined();
    clockMs = startMs + 5 * DAY_MS;
    const [last] = await owed();
    expect(await attempt(last)).toMatchObject({ status: 'failed', failureReason: 'endpoint_disabled', attempts: [{ status: 503 }] });
    expect((await found(endpoint)).disabled).toEqual({ reason: 'failing', atMs: clockMs });
    expect(await read(pending)).toMatchObject({ status: 'failed', failureReason: 'endpoint_disabled' });
    expect(await owed()).toEqual([]);
    expect(to.requests).toHaveLength(3);
  });

  it('counts a connection that fails like a bad answer', async () => {
    const gone = await receiver();
    await gone.stop();
    const endpoint = await endpointAt(gone.url);
    await attempt((await owed())[0]);
    expect((await found(endpoint)).failingSinceMs).toBe(clockMs);
  });

  it('begins anew after a success', async () => {
    let answer = 500;
    const endpoint = await endpointAt((await receiver(() => answer)).url);
    await attempt((await owed())[0]);
    clockMs += 4 * DAY_MS;
    answer = 200;
    await attempt((await owed())[0]);
    expect((await found(endpoint)).failingSinceMs).toBeUndefined();
    answer = 500;
    clockMs += 2 * DAY_MS;
    await attempt((await owed())[0]);
    expect(await found(endpoint)).toMatchObject({ failingSinceMs: clockMs });
    expect((await found(endpoint)).disabled).toBeUndefined();
  });

  it('begins anew when it is enabled again', async () => {
    const endpoint = await endpointAt((await receiver(() => 500)).url);
    await attempt((await owed())[0]);
    clockMs += 6 * DAY_MS;
    await attempt((await owed())[0]);
    expect((await found(endpoint)).disabled?.reason).toBe('failing');
    await updateEndpoint(deps, TENANT, endpoint.id, { enabled: true });
    await attempt((await owed())[0]);
    expect(await found(endpoint)).toMatchObject({ failingSinceMs: clockMs });
    expect((await found(endpoint)).disabled).toBeUndefined();
  });

  it('never disables the built-in endpoint', async () => {
    const to = await receiver(() => 500);
    await attempt((await owed({ url: to.url }))[0]);
    clockMs += 30 * DAY_MS;
    expect((await attempt((await owed({ url: to.url }))[0])).status).toBe('pending');
    expect(await owed({ url: to.url })).toHaveLength(1);
    expect(await deps.redis.keys('fana:webhook-endpoint:*')).toEqual([]);
  });
});

describe('a pending delivery', () => {
  it.each(['deleted', 'disabled'] as const)(
    'that was written while its endpoint was being %s is given up at its first attempt, without a call',
    async (how) => {
      const to = await receiver();
      const endpoint = await endpointAt(to.url);
      // The end of a job in a process that has not heard of the change.
      const known = [endpoint];
      if (how === 'deleted') await deleteEndpoint(deps, TENANT, endpoint.id);
      else await updateEndpoint(deps, TENANT, endpoint.id, { enabled: false });
      const job = await submitted();
      await endJob({ ...deps, endpoints: { find: async () => known, forget: () => undefined } }, job, { status: 'cancelled', lease: '' });
      const [id] = await deliveriesOf(job.id);
      expect(await attempt(id)).toMatchObject({ status: 'failed', failureReason: `endpoint_${how}`, attempts: [] });
      expect(to.requests).toEqual([]);
      expect(await deps.redis.zscore(ENDED, job.id)).not.toBeNull();
    },
  );

  it.each([
    [200, 'delivered', undefined],
    [500, 'failed', 'endpoint_deleted'],
  ] as const)('whose endpoint is deleted while an attempt is answered %i is %s, and the attempt is listed', async (answer, status, reason) => {
    const to = await receiver(() => ({ status: answer, delayMs: 300 }));
    const endpoint = await endpointAt(to.url);
    const [id] = await owed();
    const running = attempt(id);
    await to.waitFor(1);
    await deleteEndpoint(deps, TENANT, endpoint.id);
    expect(await read(id)).toMatchObject({ status: 'failed', attempts: [] });
    const after = await running;
    expect(after).toMatchObject({ status, attempts: [{ status: answer }] });
    expect(after.failureReason).toBe(reason);
    await attempt(id);
    expect(to.requests).toHaveLength(1);
  });

  it('ends with the schedule, after ten attempts', async () => {
    const to = await receiver(() => 500);
    await endpointAt(to.url);
    const [id] = await owed();
    for (let number = 1; number <= 9; number++) expect((await attempt(id)).status).toBe('pending');
    expect(await attempt(id)).toMatchObject({ status: 'failed', failureReason: 'attempts_exhausted' });
    await attempt(id);
    expect(to.requests).toHaveLength(10);
  });

  it('goes to where its endpoint is when it is sent', async () => {
    const [before, after] = [await receiver(() => 500), await receiver()];
    const endpoint = await endpointAt(before.url);
    const [id] = await owed();
    await attempt(id);
    await updateEndpoint(deps, TENANT, endpoint.id, { url: after.url });
    expect((await attempt(id)).status).toBe('delivered');
    expect([before, after].map(({ requests }) => requests.length)).toEqual([1, 1]);
  });

  it('of which there are very many is given up with the others', async () => {
    const endpoint = await endpointAt('http://127.0.0.1:65535/');
    const ids = (await Promise.all(Array.from({ length: 1200 }, () => owed()))).flat();
    await deleteEndpoint(deps, TENANT, endpoint.id);
    const statuses = await Promise.all(ids.map(async (id) => (await read(id)).status));
    expect(statuses.filter((status) => status === 'failed')).toHaveLength(1200);
  });
});

describe('a rotation', () => {
  it('signs with both secrets until its 24 h are over, to the millisecond, then with the new one alone', async () => {
    const to = await receiver();
    const endpoint = await endpointAt(to.url);
    const before = currentSecret(deps, endpoint);
    const startMs = clockMs;
    const after = currentSecret(deps, await rotateSecret(deps, TENANT, endpoint.id, true));
    const signatures = async (): Promise<{ sent: string; newer: string; older: string }> => {
      await attempt((await owed())[0]);
      const request = to.requests.at(-1);
      if (!request) throw new Error('nothing came');
      const [newer = '', older = ''] = [after, before].map((secret) => signatureBy(request, secret));
      return { sent: String(request.headers['webhook-signature']), newer, older };
    };
    for (const ms of [0, DAY_MS - 1]) {
      clockMs = startMs + ms;
      const { sent, newer, older } = await signatures();
      expect(sent).toBe(`${newer} ${older}`);
    }
    clockMs = startMs + DAY_MS;
    const { sent, newer } = await signatures();
    expect(sent).toBe(newer);
  });

  it('signs with the new secret alone when the old one was not to be kept, or when a second rotation ended it', async () => {
    const to = await receiver();
    const endpoint = await endpointAt(to.url);
    await rotateSecret(deps, TENANT, endpoint.id, true);
    const secret = currentSecret(deps, await rotateSecret(deps, TENANT, endpoint.id, false));
    await attempt((await owed())[0]);
    const [request] = to.requests;
    expect(request?.headers['webhook-signature']).toBe(request && signatureBy(request, secret));
  });
});

describe('a delivery that is sent again', () => {
  it('has the same event id and body, a schedule of its own and the signature of now, and the job does not wait for it', async () => {
    let answer = 410;
    const to = await receiver(() => answer);
    const endpoint = await endpointAt(to.url);
    const job = await submitted();
    await endJob(deps, job, { status: 'cancelled', lease: '' });
    const [id = ''] = await deliveriesOf(job.id);
    await attempt(id);
    await updateEndpoint(deps, TENANT, endpoint.id, { enabled: true });
    const secret = currentSecret(deps, await rotateSecret(deps, TENANT, endpoint.id, false));
    answer = 500;
    const again = await redeliver(deps, await read(id));
    expect(await deps.redis.zscore(ENDED, job.id)).not.toBeNull();
    expect(await attempt(again.id)).toMatchObject({ status: 'pending', attempts: [{ number: 1, status: 500 }], nextAttemptMs: expect.any(Number) });
    answer = 200;
    expect(await attempt(again.id)).toMatchObject({ status: 'delivered', spec: { redeliveryOf: id, subject: job.id } });
    expect(await read(id)).toMatchObject({ status: 'failed', attempts: [{ status: 410 }] });
    expect(to.requests).toHaveLength(3);
    expect(new Set(to.requests.map(({ headers, body }) => `${headers['webhook-id']} ${body}`)).size).toBe(1);
    for (const request of to.requests.slice(1)) expect(request.headers['webhook-signature']).toBe(signatureBy(request, secret));
  });
});

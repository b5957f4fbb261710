import { setTimeout as sleep } from 'node:timers/promises';
import { type ReceivedRequest, type ReceiverOptions, startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, endProcess, type Installation, startInstallation } from './support/installation.ts';

let fana: Installation;
let client: OpenAI;
let store: Redis;
const receivers: WebhookReceiver[] = [];

beforeAll(async () => {
  fana = await startInstallation({ env: { FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  store = new Redis(fana.redis.url);
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  store.disconnect();
  await fana.stop();
  await Promise.all(receivers.map((one) => one.stop()));
});

const receiver = async (respond?: ReceiverOptions['respond']): Promise<WebhookReceiver> => {
  const started = await startReceiver(respond ? { respond } : {});
  receivers.push(started);
  return started;
};
/** Our own event types are none that the SDK's types know. */
const types = (...names: string[]) => names as OpenAI.Webhooks.WebhookCreateParams['event_types'];
const endpointFor = (to: WebhookReceiver, ...names: string[]) => client.webhooks.create({ name: 'e2e', url: to.url, event_types: types(...names) });

type Headers = Record<string, string>;
const headersOf = ({ headers }: ReceivedRequest): Headers =>
  Object.fromEntries(['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, String(headers[name])]));
/** Whether each of the two verifiers accepts a request under a secret. */
const verdicts = async (request: ReceivedRequest | undefined, secret: string): Promise<{ openai: boolean; standard: boolean }> => {
  if (!request) throw new Error('nothing came');
  const accepts = (verify: () => unknown): Promise<boolean> =>
    Promise.resolve()
      .then(verify)
      .then(
        () => true,
        () => false,
      );
  return {
    openai: await accepts(() => client.webhooks.unwrap(request.body, headersOf(request), secret)),
    standard: await accepts(() => new Webhook(secret).verify(request.body, headersOf(request))),
  };
};
const ACCEPTED = { openai: true, standard: true };
const REFUSED = { openai: false, standard: false };

type Delivery = {
  id: string;
  status: string;
  event_id: string;
  attempts: { status_code: number }[];
  redelivery_of: string | null;
  failure_reason: string | null;
};
const deliveriesOf = async (id: string): Promise<Delivery[]> => {
  const response = await fana.request(`/v1/webhook_endpoints/${id}/deliveries`);
  return ((await response.json()) as { data: Delivery[] }).data;
};

describe("the openai package's webhooks", () => {
  it('creates, retrieves, updates, lists and deletes endpoints', async () => {
    const { signing_secret: secret, ...created } = await client.webhooks.create({
      name: 'first',
      url: 'https://one.example.com/',
      event_types: ['batch.completed'],
    });
    expect(secret).toMatch(/^whsec_/);
    expect(created).toMatchObject({ object: 'webhook_endpoint', name: 'first', url: 'https://one.example.com/', event_types: ['batch.completed'] });
    expect(await client.webhooks.retrieve(created.id)).toEqual(created);
    const updated = await client.webhooks.update(created.id, { name: 'renamed', event_types: ['batch.failed', 'response.completed'] });
    expect(updated).toMatchObject({ id: created.id, name: 'renamed', url: created.url, event_types: ['batch.failed', 'response.completed'] });
    expect(await client.webhooks.update(created.id)).toEqual(updated);
    const others = [];
    for (let at = 0; at < 3; at++)
      others.push((await client.webhooks.create({ name: `n${at}`, url: 'https://two.example.com/', event_types: ['batch.failed'] })).id);
    const listed = [];
    for await (const endpoint of client.webhooks.list({ limit: 2 })) listed.push(endpoint.id);
    expect(listed).toEqual([...others.reverse(), created.id]);
    expect((await client.webhooks.list({ after: null })).data).toHaveLength(4);
    for (const id of listed) expect(await client.webhooks.delete(id)).toEqual({ id, object: 'webhook_endpoint.deleted', deleted: true });
    await expect(client.webhooks.retrieve(created.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect((await client.webhooks.list()).data).toEqual([]);
  });

  it('lists the event types and refuses others by name', async () => {
    const { object, data } = await client.webhooks.eventTypes.list();
    expect(object).toBe('list');
    expect(data).toEqual(expect.arrayContaining(['job.completed', 'batch.completed', 'response.failed']));
    const refused = client.webhooks.create({ name: 'x', url: 'https://one.example.com/', event_types: ['batch.completed', 'video.completed'] });
    await expect(refused).rejects.toMatchObject({ status: 400, param: 'event_types.1' });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  });

  it('tests an endpoint, and what it receives unwraps', async () => {
    const to = await receiver((_, number) => (number === 0 ? 200 : 503));
    const { id, signing_secret: secret } = await endpointFor(to, 'batch.completed');
    const tested = { object: 'webhook_endpoint.test', success: true, event_type: 'batch.completed', webhook_endpoint_id: id };
    expect(await client.webhooks.test(id, { event_type: 'batch.completed' })).toEqual({ ...tested, status_code: 200 });
    expect(await client.webhooks.test(id, { event_type: 'batch.completed' })).toEqual({ ...tested, status_code: 503 });
    const [request] = to.requests;
    expect(await verdicts(request, secret)).toEqual(ACCEPTED);
    const event = await client.webhooks.unwrap(request?.body ?? '', request ? headersOf(request) : {}, secret);
    expect(event).toMatchObject({ object: 'event', type: 'batch.completed', data: { id: expect.stringMatching(/^batch_/) } });
    await to.stop();
    await expect(client.webhooks.test(id, { event_type: 'batch.completed' })).rejects.toMatchObject({ status: 400, code: 'fetch_failed' });
    await client.webhooks.delete(id);
  });

  it('rotates a secret with and without an overlap, and both verifiers follow', async () => {
    const to = await receiver();
    const { id, signing_secret: first } = await endpointFor(to, 'job.completed');
    const told = async (): Promise<ReceivedRequest | undefined> => {
      const count = to.requests.length;
      await fana.ended((await fana.submit({ type: 'chat', input: 'hello' })).id);
      return (await to.waitFor(count + 1))[count];
    };
    expect(await verdicts(await told(), first)).toEqual(ACCEPTED);
    const { signing_secret: second } = await client.webhooks.rotateSecret(id, { keep_old_secret_active_for_24_hours: true });
    const during = await told();
    expect(during?.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/);
    for (const secret of [first, second]) expect(await verdicts(during, secret)).toEqual(ACCEPTED);
    const { signing_secret: third } = await client.webhooks.rotateSecret(id);
    const after = await told();
    expect(await verdicts(after, third)).toEqual(ACCEPTED);
    for (const secret of [first, second]) expect(await verdicts(after, secret)).toEqual(REFUSED);
    await client.webhooks.delete(id);
  });

  it('of another tenant sees nothing of these', async () => {
    const created = await fana.request('/v1/admin/keys', { body: { name: 'b', tenant: 'tenant-b', scopes: ['jobs', 'webhooks'] } });
    const { key } = (await created.json()) as { key: string };
    const theirs = new OpenAI({ apiKey: key, baseURL: `${fana.url}/openai/v1`, maxRetries: 0 });
    const { id } = await endpointFor(await receiver(), 'job.completed');
    expect((await theirs.webhooks.list()).data).toEqual([]);
    for (const call of [() => theirs.webhooks.retrieve(id), () => theirs.webhooks.rotateSecret(id), () => theirs.webhooks.delete(id)]) {
      await expect(call()).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    }
    await client.webhooks.delete(id);
  });
});

describe('the end of a job', () => {
  it('is told to the endpoints that asked for it and to its own webhook, at once and under one event id', async () => {
    const [own, a, b, deaf] = await Promise.all([receiver(), receiver(), receiver(), receiver()]);
    const endpoints = [
      await endpointFor(a, 'job.completed'),
      await endpointFor(b, 'job.failed', 'job.completed'),
      await endpointFor(deaf, 'job.failed', 'batch.completed'),
    ];
    const { id } = await fana.submit({ type: 'chat', input: 'hello', metadata: { order: '42' }, webhook: { url: own.url } });
    const requests = (await Promise.all([own, a, b].map((to) => to.waitFor(1)))).flat();
    expect(new Set(requests.map(({ headers, body }) => `${headers['webhook-id']} ${body}`)).size).toBe(1);
    const event = { type: 'job.completed', data: { id, object: 'job', status: 'completed', type: 'chat', metadata: { order: '42' } } };
    expect(JSON.parse(requests[0]?.body ?? '')).toMatchObject(event);
    for (const [at, to] of [a, b].entries()) {
      for (const [other, endpoint] of endpoints.entries()) {
        expect(await verdicts(to.requests[0], endpoint.signing_secret)).toEqual(at === other ? ACCEPTED : REFUSED);
      }
    }
    await sleep(500);
    expect(deaf.requests).toEqual([]);
    for (const endpoint of endpoints) await client.webhooks.delete(endpoint.id);
    await fana.ended((await fana.submit({ type: 'chat', input: 'hello' })).id);
    await sleep(500);
    expect([a, b].map(({ requests: { length } }) => length)).toEqual([1, 1]);
  });

  it('that is a response is told as the response too, under the id its client knows', async () => {
    const to = await receiver();
    const { id: endpoint, signing_secret: secret } = await endpointFor(to, 'response.completed', 'job.completed');
    const response = await client.responses.create({ model: 'chat-default', input: 'hello', metadata: { order: '7' } });
    const requests = await to.waitFor(2);
    const events = await Promise.all(requests.map((request) => client.webhooks.unwrap(request.body, headersOf(request), secret)));
    const told = events.find(({ type }) => type === 'response.completed');
    expect(told).toMatchObject({ data: { id: response.id, object: 'response', status: 'completed', type: 'response', metadata: { order: '7' } } });
    expect(new Set(events.map(({ id }) => id)).size).toBe(2);
    const cut = await client.responses.create({ model: 'chat-default', input: 'tell me a long story', max_output_tokens: 16 });
    expect(cut.status).toBe('incomplete');
    const later = (await to.waitFor(4)).slice(2).map(({ body }) => JSON.parse(body));
    expect(later).toContainEqual(expect.objectContaining({ type: 'response.completed', data: expect.objectContaining({ id: cut.id, status: 'incomplete' }) }));
    await client.webhooks.delete(endpoint);
  });

  it('is told by the sweep when the process that ended it died before its message', async () => {
    const to = await receiver();
    const { id } = await endpointFor(to, 'job.cancelled');
    for (const worker of fana.workers.splice(0)) await endProcess(worker);
    const job = await fana.submit({ type: 'chat', input: 'hello' });
    await fana.request(`/v1/jobs/${job.id}/cancel`, { method: 'POST' });
    const [delivery] = await deliveriesOf(id);
    // As if the API had died between the end and the message.
    await store.del(`fana:bull:webhook:${delivery?.id}-1`);
    expect(await store.lrem('fana:bull:webhook:wait', 0, `${delivery?.id}-1`)).toBe(1);
    await fana.startWorker();
    await to.waitFor(1, 20_000);
    expect(to.requests[0]?.headers['webhook-id']).toBe(delivery?.event_id);
    await client.webhooks.delete(id);
  });
});

describe('deliveries', () => {
  it('are listed with their attempts and can be sent again to the receiver of now', async () => {
    const to = await receiver();
    const { id } = await endpointFor(to, 'job.completed');
    await fana.submit({ type: 'chat', input: 'hello' });
    await to.waitFor(1);
    await expect.poll(async () => (await deliveriesOf(id))[0]?.status).toBe('delivered');
    const [first] = await deliveriesOf(id);
    expect(first?.attempts).toMatchObject([{ status_code: 200 }]);
    const { signing_secret: secret } = await client.webhooks.rotateSecret(id);
    const response = await fana.request(`/v1/webhook_deliveries/${first?.id}/redeliver`, { method: 'POST' });
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({ redelivery_of: first?.id, event_id: first?.event_id });
    const [before, again] = await to.waitFor(2);
    expect(again?.body).toBe(before?.body);
    expect(again?.headers['webhook-id']).toBe(before?.headers['webhook-id']);
    expect(await verdicts(again, secret)).toEqual(ACCEPTED);
    await client.webhooks.delete(id);
  });

  it('to an endpoint that answers 410 end, and it gets no more', async () => {
    const to = await receiver(() => 410);
    const { id } = await endpointFor(to, 'job.completed');
    await fana.submit({ type: 'chat', input: 'hello' });
    await to.waitFor(1);
    await expect.poll(async () => client.webhooks.retrieve(id)).toMatchObject({ enabled: false, disabled_reason: 'gone' });
    await fana.ended((await fana.submit({ type: 'chat', input: 'hello' })).id);
    expect(await deliveriesOf(id)).toMatchObject([{ status: 'failed', failure_reason: 'receiver_gone' }]);
    expect(to.requests).toHaveLength(1);
  });
});

it('no secret is in the logs', () => {
  for (const process of [fana.api, ...fana.workers]) expect(process.output()).not.toContain('whsec_');
});

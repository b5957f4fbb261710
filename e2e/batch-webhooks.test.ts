import { type ReceivedRequest, startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

let fana: Installation;
let client: OpenAI;
let everything: WebhookReceiver;
let failures: WebhookReceiver;
let own: WebhookReceiver;
let secrets: { everything: string; failures: string; own: string };

beforeAll(async () => {
  [everything, failures, own] = await Promise.all([startReceiver(), startReceiver(), startReceiver()]);
  fana = await startInstallation({ env: { FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
  const all = await client.webhooks.create({
    name: 'all',
    url: everything.url,
    event_types: ['batch.completed', 'batch.failed', 'batch.expired', 'batch.cancelled'],
  });
  const failed = await client.webhooks.create({ name: 'failures', url: failures.url, event_types: ['batch.failed'] });
  const { secret } = (await (await fana.request('/v1/webhook_endpoints/default/secret')).json()) as { secret: string };
  secrets = { everything: all.signing_secret, failures: failed.signing_secret, own: secret };
});
afterAll(async () => {
  await fana.stop();
  await Promise.all([everything, failures, own].map((one) => one.stop()));
});

const batchOf = async (text: string, more: Record<string, unknown> = {}): Promise<OpenAI.Batch> => {
  const file = await client.files.create({ file: await toFile(Buffer.from(text), 'lines.jsonl'), purpose: 'batch' });
  const body = { input_file_id: file.id, completion_window: '24h', endpoint: '/v1/chat/completions', metadata: { order: '42' }, ...more };
  return client.batches.create(body as OpenAI.BatchCreateParams);
};
const line = JSON.stringify({
  custom_id: 'a',
  method: 'POST',
  url: '/v1/chat/completions',
  body: { model: 'chat-default', messages: [{ role: 'user', content: 'hello' }] },
});
const unwrap = (request: ReceivedRequest | undefined, secret: string) => {
  if (!request) throw new Error('nothing came');
  const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
  return client.webhooks.unwrap(request.body, Object.fromEntries(names.map((name) => [name, String(request.headers[name])])), secret);
};

it("the ends of batches are told to the endpoints that asked for them and to the batch's own webhook, under one event id each", async () => {
  const good = await batchOf(`${line}\n`, { webhook: { url: own.url } });
  const [completed] = await everything.waitFor(1, 30_000);
  const event = await unwrap(completed, secrets.everything);
  expect(event).toMatchObject({
    object: 'event',
    type: 'batch.completed',
    data: { id: good.id, object: 'batch', status: 'completed', type: 'batch', metadata: { order: '42' } },
  });
  expect((await client.batches.retrieve(good.id)).status).toBe('completed');
  const [told] = await own.waitFor(1);
  expect(await unwrap(told, secrets.own)).toEqual(event);

  const bad = await batchOf('not json\n', { webhook: { url: own.url, events: ['batch.completed'] } });
  const failedEvents = await Promise.all([
    everything.waitFor(2, 30_000).then(([, request]) => unwrap(request, secrets.everything)),
    failures.waitFor(1, 30_000).then(([request]) => unwrap(request, secrets.failures)),
  ]);
  expect(failedEvents[0]).toMatchObject({ type: 'batch.failed', data: { id: bad.id, status: 'failed' } });
  expect(failedEvents[1]).toEqual(failedEvents[0]);
  expect([failures, own].map(({ requests }) => requests.length)).toEqual([1, 1]);

  const response = await fana.request('/v1/webhook_endpoints/default/deliveries');
  const { data } = (await response.json()) as { data: unknown[] };
  expect(data).toMatchObject([{ subject_id: good.id, event_id: event.id, event_type: 'batch.completed', status: 'delivered' }]);
});

it.each([
  [{ url: 'ftp://example.com/' }, 'invalid_url', 'webhook.url'],
  [{ url: 'https://example.com/', events: [] }, 'invalid_request', 'webhook.events'],
  [{ url: 'https://example.com/', events: ['job.completed'] }, 'invalid_request', 'webhook.events.0'],
  [{ url: 'https://example.com/', secret: 'x' }, 'invalid_request', 'webhook.secret'],
])('a batch with the webhook %j is refused', async (webhook, code, param) => {
  await expect(batchOf(`${line}\n`, { webhook })).rejects.toMatchObject({ status: 400, code, param });
});

import { describe, expect, test } from 'vitest';
import { isId } from '../ids.ts';
import type { JobRecord, JobSpec, TerminalStatus } from '../jobs/job.ts';
import { TERMINAL_STATUSES } from '../jobs/job.ts';
import type { DeliverySpec } from './delivery.ts';
import type { WebhookEndpoint } from './endpoint.ts';
import { eventBody, WEBHOOK_EVENT_TYPES, type WebhookEvent, type WebhookEventType } from './event.ts';
import { batchOccasion, jobOccasion, type Occasion } from './occasion.ts';
import { prepareDeliveries } from './publish.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 12, 0, 0, 987);
const EVENT_ID = 'evt_0123456789ABCDEFGHIJKL';
const IMAGE = { blobId: 'blob_secret', mediaType: 'image/png', width: 1, height: 1, bytes: 1, sha256: 'aa', expiresMs: NOW_MS };

const jobWith = (spec: Partial<JobSpec> = {}): JobRecord => ({
  id: 'job_0123456789ABCDEFGHIJKL',
  spec: {
    tenant: 'default',
    keyId: 'key_x',
    type: 'image',
    trigger: { label: 'image', confidence: 1, source: 'request' },
    model: 'image-default',
    input: { text: 'a private text', images: [] },
    inputPreview: 'a private text',
    parameters: {},
    system: { source: 'installation' },
    urls: [],
    warnings: [],
    metadata: {},
    priority: 5,
    ownedBlobIds: [],
    ...spec,
  },
  status: 'completed',
  run: 1,
  createdMs: NOW_MS,
  attempts: [],
  earlierCalls: 0,
  output: { kind: 'images', images: [IMAGE] },
  warnings: [],
  pictures: {},
  cancelRequested: false,
});

const metadataOf = (character: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: 16 }, (_, at) => [`${at}`.padEnd(64, 'k'), character.repeat(512 / character.length)]));

/** The body of the first event of a job's end. */
const bodyOf = (job: JobRecord, status: TerminalStatus): string => {
  const [event] = jobOccasion(job, status).events;
  if (!event) throw new Error('no event');
  return eventBody(EVENT_ID, event.type, event.data, NOW_MS);
};

describe('the body of an event', () => {
  test('has the fields of the contract and nothing else: no text, no picture', () => {
    const event: WebhookEvent = JSON.parse(bodyOf(jobWith({ metadata: { order: '42' } }), 'completed'));
    expect(event).toEqual({
      id: EVENT_ID,
      object: 'event',
      type: 'job.completed',
      created_at: Math.floor(NOW_MS / 1000),
      timestamp: '2026-01-01T12:00:00.987Z',
      data: { id: 'job_0123456789ABCDEFGHIJKL', object: 'job', status: 'completed', type: 'image', metadata: { order: '42' } },
    });
  });

  test.each(TERMINAL_STATUSES)('names the end: %s', (status) => {
    expect(JSON.parse(bodyOf(jobWith(), status))).toMatchObject({ type: `job.${status}`, data: { status } });
  });

  test('keeps the longest metadata of plain letters, under 20 kB', () => {
    const body = bodyOf(jobWith({ metadata: metadataOf('x') }), 'completed');
    expect(Buffer.byteLength(body)).toBeLessThan(20_000);
    expect(JSON.parse(body).data.metadata).toEqual(metadataOf('x'));
  });

  test.each(['字', '🦊', '\u0001', '"'])('stays under 20 kB with the longest metadata of %j, and says when it left it out', (character) => {
    const metadata = metadataOf(character);
    const body = bodyOf(jobWith({ metadata }), 'completed');
    const { data } = JSON.parse(body) as WebhookEvent;
    expect(Buffer.byteLength(body)).toBeLessThan(20_000);
    if (data.metadata_omitted) expect(data.metadata).toEqual({});
    else expect(data.metadata).toEqual(metadata);
  });
});

type Prepared = { id: string; endpointId: string; spec: DeliverySpec };
/** What an occasion owes, with these endpoints registered. */
const prepared = async (occasion: Occasion, endpoints: WebhookEndpoint[] = []): Promise<Prepared[]> => {
  const deps = { now: () => NOW_MS, endpoints: { find: async () => endpoints, forget: () => undefined } };
  return (await prepareDeliveries(deps, occasion)).map(({ id, endpointId, spec }) => ({ id, endpointId, spec: JSON.parse(spec) }));
};
const endpointFor = (id: string, ...eventTypes: WebhookEventType[]): WebhookEndpoint => ({
  id,
  tenant: 'default',
  name: id,
  url: `https://${id}.example.com/`,
  eventTypes,
  createdMs: 1,
  updatedMs: 1,
  encryptedSecret: '',
  hint: 'abcd',
});

describe('the deliveries an end owes', () => {
  const webhook = { url: 'https://example.com/hook', events: ['job.failed' as const] };
  const job = jobWith({ webhook });

  test('are none without a webhook, or for an end nobody asked for', async () => {
    expect(await prepared(jobOccasion(jobWith(), 'completed'))).toEqual([]);
    const owed = await Promise.all(TERMINAL_STATUSES.map(async (status) => ((await prepared(jobOccasion(job, status))).length > 0 ? [status] : [])));
    expect(owed.flat()).toEqual(['failed']);
  });

  test('of the job alone is one of the endpoint `default`, with one event id in its body and beside it', async () => {
    const [delivery, ...others] = await prepared(jobOccasion(job, 'failed'));
    expect(others).toEqual([]);
    expect(isId('whd', delivery?.id ?? '')).toBe(true);
    expect(isId('evt', delivery?.spec.eventId ?? '')).toBe(true);
    expect(JSON.parse(delivery?.spec.body ?? '{}').id).toBe(delivery?.spec.eventId);
    expect(delivery?.spec).toMatchObject({ tenant: 'default', endpointId: 'default', url: webhook.url, type: 'job.failed', subject: job.id });
  });

  test('go to every endpoint that asked for the event and to no other, with ids of their own and one event', async () => {
    const endpoints = [endpointFor('a', 'job.failed'), endpointFor('b', 'job.completed', 'batch.failed'), endpointFor('c', ...WEBHOOK_EVENT_TYPES)];
    const owed = await prepared(jobOccasion(job, 'failed'), endpoints);
    expect(owed.map(({ endpointId, spec }) => [endpointId, spec.endpointId, spec.url])).toEqual([
      ['default', 'default', webhook.url],
      ['a', 'a', 'https://a.example.com/'],
      ['c', 'c', 'https://c.example.com/'],
    ]);
    expect(new Set(owed.map(({ id }) => id)).size).toBe(3);
    expect(new Set(owed.map(({ spec }) => `${spec.eventId} ${spec.body}`)).size).toBe(1);
  });

  test.each([
    ['completed', 'response.completed', 'completed'],
    ['failed', 'response.failed', 'failed'],
    ['unknown_outcome', 'response.failed', 'failed'],
    ['cancelled', undefined, undefined],
  ] as const)('of a response that is %s are those of its job and of the response', async (status, type, shown) => {
    const response = jobWith({ type: 'chat', metadata: { order: '42' }, endpoint: 'responses' });
    const owed = await prepared(jobOccasion(response, status), [endpointFor('all', ...WEBHOOK_EVENT_TYPES)]);
    expect(owed.map(({ spec }) => spec.type)).toEqual([`job.${status}`, ...(type ? [type] : [])]);
    expect(new Set(owed.map(({ spec }) => spec.eventId)).size).toBe(owed.length);
    expect(new Set(owed.map(({ spec }) => spec.subject))).toEqual(new Set([response.id]));
    const data = { id: 'resp_0123456789ABCDEFGHIJKL', object: 'response', status: shown, type: 'response', metadata: { order: '42' } };
    if (type) expect(JSON.parse(owed[1]?.spec.body ?? '{}')).toMatchObject({ id: owed[1]?.spec.eventId, object: 'event', type, data });
  });

  test('of a response whose answer was cut say that it is incomplete', () => {
    const [job, response] = jobOccasion(jobWith({ type: 'chat', endpoint: 'responses' }), 'completed', true).events;
    expect(job).toMatchObject({ type: 'job.completed', data: { status: 'completed' } });
    expect(response).toMatchObject({ type: 'response.completed', data: { status: 'incomplete' } });
  });

  test.each(['completed', 'failed', 'expired', 'cancelled'] as const)(
    'of a batch that is %s are told to its own webhook and to the endpoints',
    async (status) => {
      const id = 'batch_0123456789ABCDEFGHIJKL';
      const own = { url: 'https://example.com/batch', events: ['batch.completed', 'batch.expired'] as const };
      const occasion = batchOccasion({ id, tenant: 'default', status, metadata: { run: '7' }, webhook: own });
      const owed = await prepared(occasion, [endpointFor('a', `batch.${status}`), endpointFor('b', 'job.completed')]);
      expect(owed.map(({ endpointId }) => endpointId)).toEqual(status === 'completed' || status === 'expired' ? ['default', 'a'] : ['a']);
      for (const { spec } of owed) {
        expect(spec).toMatchObject({ type: `batch.${status}`, subject: id });
        expect(JSON.parse(spec.body)).toEqual({
          id: spec.eventId,
          object: 'event',
          type: `batch.${status}`,
          created_at: Math.floor(NOW_MS / 1000),
          timestamp: '2026-01-01T12:00:00.987Z',
          data: { id, object: 'batch', status, type: 'batch', metadata: { run: '7' } },
        });
      }
    },
  );
});

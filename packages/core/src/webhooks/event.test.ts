import { describe, expect, test } from 'vitest';
import { isId } from '../ids.ts';
import type { JobRecord, JobSpec, TerminalStatus } from '../jobs/job.ts';
import { TERMINAL_STATUSES } from '../jobs/job.ts';
import { eventBody, type WebhookEvent } from './event.ts';
import { prepareDelivery } from './publish.ts';

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

describe('the body of an event', () => {
  test('has the fields of the contract and nothing else: no text, no picture', () => {
    const event: WebhookEvent = JSON.parse(eventBody(EVENT_ID, jobWith({ metadata: { order: '42' } }), 'completed', NOW_MS));
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
    expect(JSON.parse(eventBody(EVENT_ID, jobWith(), status, NOW_MS))).toMatchObject({ type: `job.${status}`, data: { status } });
  });

  test('keeps the longest metadata of plain letters, under 20 kB', () => {
    const body = eventBody(EVENT_ID, jobWith({ metadata: metadataOf('x') }), 'completed', NOW_MS);
    expect(Buffer.byteLength(body)).toBeLessThan(20_000);
    expect(JSON.parse(body).data.metadata).toEqual(metadataOf('x'));
  });

  test.each(['字', '🦊', '\u0001', '"'])('stays under 20 kB with the longest metadata of %j, and says when it left it out', (character) => {
    const metadata = metadataOf(character);
    const body = eventBody(EVENT_ID, jobWith({ metadata }), 'completed', NOW_MS);
    const { data } = JSON.parse(body) as WebhookEvent;
    expect(Buffer.byteLength(body)).toBeLessThan(20_000);
    if (data.metadata_omitted) expect(data.metadata).toEqual({});
    else expect(data.metadata).toEqual(metadata);
  });
});

describe('the delivery an end owes', () => {
  const webhook = { url: 'https://example.com/hook', events: ['job.failed' as const] };

  test('is none without a webhook, or for an end nobody asked for', () => {
    expect(prepareDelivery(jobWith(), 'completed', NOW_MS)).toBeUndefined();
    const job = jobWith({ webhook });
    const owed = TERMINAL_STATUSES.filter((status: TerminalStatus) => prepareDelivery(job, status, NOW_MS) !== undefined);
    expect(owed).toEqual(['failed']);
  });

  test('carries one event id, in its body and beside it, and belongs to the endpoint `default`', () => {
    const delivery = prepareDelivery(jobWith({ webhook }), 'failed', NOW_MS);
    const spec = JSON.parse(delivery?.spec ?? '{}');
    expect(isId('whd', delivery?.id ?? '')).toBe(true);
    expect(isId('evt', spec.eventId)).toBe(true);
    expect(JSON.parse(spec.body).id).toBe(spec.eventId);
    expect(spec).toMatchObject({ tenant: 'default', endpointId: 'default', url: webhook.url, type: 'job.failed', jobId: 'job_0123456789ABCDEFGHIJKL' });
  });
});

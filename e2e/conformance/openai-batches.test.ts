import { type ReceivedRequest, startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import OpenAI, { toFile } from 'openai';
import sharp from 'sharp';
import { Webhook } from 'standardwebhooks';
import { afterAll, describe, expect, it } from 'vitest';
import { collect, conformance, TEXT } from './setup.ts';
import { problemsOf } from './shapes.ts';

const suite = conformance();
const receivers: WebhookReceiver[] = [];
afterAll(async () => {
  await Promise.all(receivers.map((one) => one.stop()));
});

const upload = async (lines: object[]): Promise<OpenAI.FileObject> =>
  suite.client.files.create({
    file: await toFile(Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')), 'lines.jsonl'),
    purpose: 'batch',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  });

const ended = async (id: string): Promise<OpenAI.Batch> => {
  let batch = await suite.client.batches.retrieve(id);
  await expect
    .poll(
      async () => {
        batch = await suite.client.batches.retrieve(id);
        return batch.status;
      },
      { timeout: 60_000, interval: 100 },
    )
    .toMatch(/^(completed|failed|expired|cancelled)$/);
  return batch;
};

type Line = {
  id: string;
  custom_id: string;
  response: { status_code: number; request_id: string; body: unknown } | null;
  error: { code: string; message: string } | null;
};
const linesOf = async (fileId: string | null | undefined): Promise<Line[]> =>
  (await (await suite.client.files.content(fileId ?? '')).text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

type BatchUrl = OpenAI.BatchCreateParams['endpoint'];
const line = (custom_id: string, url: BatchUrl, body: object) => ({ custom_id, method: 'POST', url, body });
const run = async (endpoint: BatchUrl, lines: object[]): Promise<OpenAI.Batch> => {
  const { id } = await upload(lines);
  return ended((await suite.client.batches.create({ input_file_id: id, endpoint, completion_window: '24h', metadata: { order: '42' } })).id);
};

describe('files', () => {
  it('are uploaded, listed, retrieved, read and deleted', async () => {
    const file = await upload([{ any: 'line' }]);
    expect(await suite.client.files.retrieve(file.id)).toEqual(file);
    expect((await collect(suite.client.files.list({ purpose: 'batch' }))).map(({ id }) => id)).toContain(file.id);
    expect(await (await suite.client.files.content(file.id)).text()).toBe('{"any":"line"}\n');
    expect(await suite.client.files.delete(file.id)).toMatchObject({ id: file.id, deleted: true });
    await expect(suite.client.files.retrieve(file.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe('batches', () => {
  it('make pictures from beginning to end, each line of both files as OpenAI writes it', async () => {
    const good = Array.from({ length: 12 }, (_, n) => line(`fox-${n}`, '/v1/images/generations', { model: 'gpt-image-2', prompt: `fox ${n}` }));
    const batch = await run('/v1/images/generations', good);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 12, completed: 12, failed: 0 }, metadata: { order: '42' } });
    const lines = await linesOf(batch.output_file_id);
    expect(lines.map(({ custom_id }) => custom_id).sort()).toEqual(good.map(({ custom_id }) => custom_id).sort());
    for (const { id, response, error } of lines) {
      expect([error, response?.status_code]).toEqual([null, 200]);
      expect([typeof id, typeof response?.request_id]).toEqual(['string', 'string']);
      expect(problemsOf('ImagesResponseBody', response?.body)).toEqual([]);
      const [image] = (response?.body as OpenAI.ImagesResponse | undefined)?.data ?? [];
      expect((await sharp(Buffer.from(image?.b64_json ?? '', 'base64')).metadata()).format).toBe('png');
    }
  });

  it.each([
    ['/v1/chat/completions', 'ChatCompletionBody', { model: 'gpt-4o', messages: [{ role: 'user', content: 'Capital of Peru?' }] }],
    ['/v1/responses', 'ResponseBody', { model: 'gpt-4o', input: 'Capital of Peru?' }],
    ['/v1/embeddings', 'CreateEmbeddingResponseBody', { model: 'text-embedding-3-small', input: 'Peru' }],
  ] as const)('%s: lines hold the same bodies as replies', async (url, shape, body) => {
    const batch = await run(url, [line('a', url, body), line('b', url, body)]);
    expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
    for (const { response } of await linesOf(batch.output_file_id)) expect(problemsOf(shape, response?.body)).toEqual([]);
    if (url !== '/v1/embeddings') expect(JSON.stringify(await linesOf(batch.output_file_id))).toContain(TEXT);
  });

  it('refused lines are in the error file, with their error', async () => {
    const batch = await run('/v1/images/generations', [line('bad', '/v1/images/generations', { model: 'gpt-image-2', prompt: 'refuse this' })]);
    expect(batch.request_counts).toEqual({ total: 1, completed: 0, failed: 1 });
    const [bad] = await linesOf(batch.error_file_id);
    expect(bad).toMatchObject({ custom_id: 'bad', response: { status_code: 400 }, error: null });
    expect(problemsOf('ErrorBody', bad?.response?.body)).toEqual([]);
  });

  it('a malformed file fails the batch, and says which line', async () => {
    const batch = await run('/v1/images/generations', [line('one', '/v1/images/generations', { model: 'gpt-image-2', prompt: 'fox' }), { custom_id: 'two' }]);
    expect(batch).toMatchObject({ status: 'failed', errors: { object: 'list', data: [{ line: 2, code: expect.any(String), message: expect.any(String) }] } });
  });

  it('are listed, and cancelled', async () => {
    const slow = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Tell it slowly.' }] };
    const { id } = await upload(Array.from({ length: 40 }, (_, n) => line(`slow-${n}`, '/v1/chat/completions', slow)));
    const batch = await suite.client.batches.create({ input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    expect((await collect(suite.client.batches.list({ limit: 2 }))).map((one) => one.id)).toContain(batch.id);
    expect((await suite.client.batches.cancel(batch.id)).status).toMatch(/^cancell/);
    expect(await ended(batch.id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('webhooks', () => {
  type Headers = Record<string, string>;
  const headersOf = (request: ReceivedRequest): Headers =>
    Object.fromEntries(['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, String(request.headers[name])]));
  const receiver = async (): Promise<WebhookReceiver> => {
    const started = await startReceiver();
    receivers.push(started);
    return started;
  };
  const delivered = async (to: WebhookReceiver): Promise<ReceivedRequest> => {
    const [request] = await to.waitFor(1, 20_000);
    if (!request) throw new Error('nothing was delivered');
    return request;
  };

  it.each([
    ['batch.completed', async () => (await run('/v1/embeddings', [line('a', '/v1/embeddings', { model: 'text-embedding-3-small', input: 'a' })])).id],
    ['response.completed', async () => (await suite.client.responses.create({ model: 'gpt-4o', input: 'Capital of Peru?', background: true })).id],
  ] as const)('a delivered %s is unwrapped by the SDK and verified by standardwebhooks', async (type, cause) => {
    const to = await receiver();
    const endpoint = await suite.client.webhooks.create({ name: type, url: to.url, event_types: [type] });
    const id = await cause();
    const request = await delivered(to);
    const event = await suite.client.webhooks.unwrap(request.body, headersOf(request), endpoint.signing_secret);
    expect(event).toMatchObject({ object: 'event', type, data: { id } });
    expect(new Webhook(endpoint.signing_secret).verify(request.body, headersOf(request))).toEqual(JSON.parse(request.body));
    await expect(suite.client.webhooks.unwrap(request.body.replace(id, 'other'), headersOf(request), endpoint.signing_secret)).rejects.toThrow(/signature/);
    expect(problemsOf('WebhookEventBody', event)).toEqual([]);
    await suite.client.webhooks.delete(endpoint.id);
  });

  it('endpoints are listed, updated, tested, rotated with both secrets valid, and deleted', async () => {
    const to = await receiver();
    const { signing_secret: old, id } = await suite.client.webhooks.create({ name: 'first', url: to.url, event_types: ['batch.failed'] });
    expect((await collect(suite.client.webhooks.list())).map((one) => one.id)).toContain(id);
    expect(await suite.client.webhooks.update(id, { name: 'second', event_types: ['batch.completed'] })).toMatchObject({ name: 'second' });
    const { signing_secret: current } = await suite.client.webhooks.rotateSecret(id, { keep_old_secret_active_for_24_hours: true });
    expect(current).not.toBe(old);
    expect(await suite.client.webhooks.test(id, { event_type: 'batch.completed' })).toMatchObject({ success: true, status_code: 200 });
    const request = await delivered(to);
    for (const secret of [old, current]) {
      expect(await suite.client.webhooks.unwrap(request.body, headersOf(request), secret)).toMatchObject({ type: 'batch.completed' });
      new Webhook(secret).verify(request.body, headersOf(request));
    }
    expect((await suite.client.webhooks.eventTypes.list()).data).toEqual(expect.arrayContaining(['batch.completed', 'response.completed']));
    expect(await suite.client.webhooks.retrieve(id)).toMatchObject({ id, name: 'second' });
    expect(await suite.client.webhooks.delete(id)).toMatchObject({ id, deleted: true });
  });
});

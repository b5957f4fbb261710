import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

let upstream: FastUpstream;
let fana: Installation;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startFastUpstream({
    behave: ({ key }) => (key.startsWith('refuse') ? { status: 400 } : key.startsWith('cut') ? 'hangUp' : 'answer'),
  });
  fana = await startInstallation({ env: upstream.env });
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

const ENDED = new Set(['completed', 'failed', 'expired', 'cancelled']);

const line = (customId: string, url: string, body: object): string => JSON.stringify({ custom_id: customId, method: 'POST', url, body });
const picture = (customId: string, prompt: string, more: object = {}): string =>
  line(customId, '/v1/images/generations', { model: 'gpt-image-2', prompt, ...more });

const upload = async (text: string): Promise<string> =>
  (await client.files.create({ file: await toFile(Buffer.from(text), 'lines.jsonl'), purpose: 'batch' })).id;

type Create = Omit<OpenAI.BatchCreateParams, 'input_file_id' | 'completion_window' | 'endpoint'> & { endpoint?: string };
const create = async (text: string, more: Create & Record<string, unknown> = {}): Promise<OpenAI.Batch> =>
  client.batches.create({
    input_file_id: await upload(text),
    completion_window: '24h',
    endpoint: '/v1/images/generations',
    ...more,
  } as OpenAI.BatchCreateParams);

const ended = async (id: string): Promise<OpenAI.Batch> => {
  let batch = await client.batches.retrieve(id);
  await expect
    .poll(
      async () => {
        batch = await client.batches.retrieve(id);
        return ENDED.has(batch.status);
      },
      { timeout: 60_000, interval: 50 },
    )
    .toBe(true);
  return batch;
};

// biome-ignore lint/suspicious/noExplicitAny: a test reads into lines whose shape is what it checks
const linesOf = async (fileId: string | null | undefined): Promise<any[]> =>
  fileId == null
    ? []
    : (await (await client.files.content(fileId)).text())
        .trimEnd()
        .split('\n')
        .map((text) => JSON.parse(text));

describe('a batch of pictures', () => {
  it('runs to its end: every line once, each picture in the output file, counts and usage true', async () => {
    const lines = Array.from({ length: 150 }, (_, n) => picture(`id-${n}`, `fox ${n}`));
    const batch = await create(`${lines.join('\n')}\n`, { metadata: { order: '42' } });
    expect(batch).toMatchObject({ object: 'batch', status: 'validating', completion_window: '24h', endpoint: '/v1/images/generations', errors: null });
    const done = await ended(batch.id);
    expect(done).toMatchObject({
      status: 'completed',
      model: 'gpt-image-2',
      request_counts: { total: 150, completed: 150, failed: 0 },
      usage: { input_tokens: 1500, output_tokens: 15_000, total_tokens: 16_500 },
      metadata: { order: '42' },
      error_file_id: null,
    });
    const output = await linesOf(done.output_file_id);
    expect(new Set(output.map(({ custom_id }) => custom_id))).toEqual(new Set(lines.map((_, n) => `id-${n}`)));
    for (const { response, error } of output) {
      expect(error).toBeNull();
      expect(response.status_code).toBe(200);
      expect(Buffer.from(response.body.data[0].b64_json, 'base64').subarray(1, 4).toString()).toBe('PNG');
    }
    for (let n = 0; n < 150; n++) expect(upstream.calls.get(`fox ${n}`)).toBe(1);
  });

  it('a refused line and one of unknown outcome go to the error file, and neither is called twice', async () => {
    const batch = await create([picture('good', 'a good one'), picture('bad', 'refuse this'), picture('lost', 'cut this')].join('\r\n'));
    const done = await ended(batch.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 3, completed: 1, failed: 2 } });
    const errors = await linesOf(done.error_file_id);
    expect(errors.find(({ custom_id }) => custom_id === 'bad')).toMatchObject({ response: { status_code: 400 }, error: null });
    expect(errors.find(({ custom_id }) => custom_id === 'lost')).toMatchObject({ response: null, error: { code: 'unknown_outcome' } });
    expect(upstream.calls.get('refuse this')).toBe(1);
    expect(upstream.calls.get('cut this')).toBe(1);
  });
});

describe('a file that is not good', () => {
  const seventeen = (bad: string): string => [...Array.from({ length: 16 }, (_, n) => picture(`id-${n}`, `never ${n}`)), bad].join('\n');

  it.each([
    ['line 17 is not JSON', seventeen('{"custom_id": '), { code: 'invalid_json_line', line: 17 }],
    ['a custom_id comes twice', seventeen(picture('id-3', 'never again')), { code: 'duplicate_custom_id', line: 17, param: 'custom_id' }],
    ['a line is for another endpoint', seventeen(line('x', '/v1/chat/completions', { model: 'gpt-4o', messages: [] })), { code: 'invalid_url', line: 17 }],
    ['a model is not known', seventeen(picture('x', 'never', { model: 'no-such-model' })), { code: 'model_not_found', line: 17, param: 'body.model' }],
    ['a parameter is wrong', seventeen(picture('x', 'never', { n: 0 })), { code: 'invalid_request', line: 17, param: 'body.n' }],
    ['it has 50,001 lines', Array.from({ length: 50_001 }, (_, n) => picture(`id-${n}`, 'never')).join('\n'), { code: 'too_many_lines', line: 50_001 }],
    ['it is empty but for blank lines', '\n \r\n\n', { code: 'empty_file', line: null }],
  ])('%s: the batch fails with code, line and message, and nobody is called', async (_, text, problem) => {
    const before = [...upstream.calls.values()].reduce((sum, count) => sum + count, 0);
    const done = await ended((await create(text)).id);
    expect(done.status).toBe('failed');
    expect(done.failed_at).toEqual(expect.any(Number));
    expect(done.errors?.data?.[0]).toMatchObject({ ...problem, message: expect.stringMatching(/\w{3}/) });
    expect([...upstream.calls.values()].reduce((sum, count) => sum + count, 0)).toBe(before);
  });

  it('a byte order mark, CRLF and blank lines are no fault', async () => {
    const done = await ended((await create(`\ufeff${picture('a', 'marked a')}\r\n\r\n${picture('b', 'marked b')}\r\n`)).id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 2, completed: 2, failed: 0 } });
  });
});

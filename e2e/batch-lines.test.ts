import { setTimeout as sleep } from 'node:timers/promises';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BatchClient, chatLine, createBatchClient, lineOf, pictureLine } from './support/batch-client.ts';
import { type Installation, startInstallation } from './support/installation.ts';

let upstream: FastUpstream;
let fana: Installation;
let client: BatchClient;
let callMs = 0;

beforeAll(async () => {
  upstream = await startFastUpstream({
    behave: async ({ key }) => {
      await sleep(callMs);
      return key.startsWith('fail') ? { status: 500 } : key.startsWith('refuse') ? { status: 400 } : 'answer';
    },
  });
  fana = await startInstallation({ env: { ...upstream.env, FANA_CONCURRENCY_BATCH: '16' } });
  client = createBatchClient(fana);
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});
beforeEach(() => {
  callMs = 0;
});

const isPng = (bytes: Buffer): boolean => bytes.subarray(1, 4).toString() === 'PNG';

describe('what the lines of each endpoint come to', () => {
  it('pictures of several models in one file: as bytes or as links, by the model or as asked', async () => {
    const batch = await client.create([
      pictureLine('bytes', 'a', { model: 'gpt-image-2' }),
      pictureLine('link', 'b', { model: 'gpt-image-2', response_format: 'url' }),
      pictureLine('old', 'c', { model: 'dall-e-3' }),
      pictureLine('old bytes', 'd', { model: 'dall-e-2', response_format: 'b64_json' }),
      pictureLine('default', 'e', { model: 'image-default' }),
      pictureLine('three', 'f', { model: 'gpt-image-2', n: 3 }),
    ]);
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'completed', model: null, request_counts: { total: 6, completed: 6, failed: 0 } });
    const { output } = await client.filesOf(done);
    const picturesOf = (id: string): { b64_json?: string; url?: string }[] => output.get(id).response.body.data;
    for (const id of ['bytes', 'old bytes', 'three'])
      for (const { b64_json: text = '' } of picturesOf(id)) expect(isPng(Buffer.from(text, 'base64'))).toBe(true);
    expect(picturesOf('three')).toHaveLength(3);
    for (const id of ['link', 'old', 'default']) {
      const [picture] = picturesOf(id);
      expect(picture).not.toHaveProperty('b64_json');
      expect(isPng(Buffer.from(await (await fetch(picture?.url ?? '')).arrayBuffer()))).toBe(true);
    }
  });

  it('chat of several models: completions with their usage', async () => {
    const lines = [chatLine('groq', 'hello a'), chatLine('openai', 'hello b', { model: 'gpt-4o' }), chatLine('limit', 'hello c', { max_tokens: 5 })];
    const done = await client.ended((await client.create(lines, { endpoint: '/v1/chat/completions' })).id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 3, completed: 3, failed: 0 }, usage: { input_tokens: 27, output_tokens: 9 } });
    const { output } = await client.filesOf(done);
    expect(output.get('groq')).toMatchObject({
      id: expect.stringMatching(/^batch_req_/),
      error: null,
      response: {
        status_code: 200,
        request_id: expect.stringMatching(/^req_/),
        body: {
          object: 'chat.completion',
          choices: [{ message: { role: 'assistant', content: 're: hello a' }, finish_reason: 'stop' }],
          usage: { total_tokens: 12 },
        },
      },
    });
    expect(output.get('openai').response.body.choices[0].message.content).toBe('re: hello b');
  });

  it('embeddings and responses', async () => {
    const embedding = (id: string, input: unknown): string =>
      lineOf(id, '/v1/embeddings', { model: 'text-embedding-3-small', input, encoding_format: 'float' });
    const vectors = await client.ended((await client.create([embedding('one', 'x'), embedding('two', ['y', 'z'])], { endpoint: '/v1/embeddings' })).id);
    const { output } = await client.filesOf(vectors);
    expect(output.get('one').response.body).toMatchObject({ object: 'list', data: [{ object: 'embedding', index: 0 }] });
    expect(output.get('two').response.body.data.map(({ embedding: vector }: { embedding: number[] }) => vector)).toEqual([
      [expect.closeTo(0.6, 5), expect.closeTo(0.8, 5)],
      [expect.closeTo(0.6, 5), expect.closeTo(0.8, 5)],
    ]);
    const response = (id: string, input: string): string => lineOf(id, '/v1/responses', { model: 'chat-default', input });
    const responses = await client.ended((await client.create([response('r', 'tell me')], { endpoint: '/v1/responses' })).id);
    expect((await client.filesOf(responses)).output.get('r').response.body).toMatchObject({
      object: 'response',
      status: 'completed',
      output: [{ type: 'message', content: [{ type: 'output_text', text: 're: tell me' }] }],
    });
  });

  it('a line that failed three times says what its last call failed of, a refused one keeps what the provider said', async () => {
    const done = await client.ended((await client.create([pictureLine('failed', 'fail this'), pictureLine('refused', 'refuse this')])).id);
    expect(done).toMatchObject({ status: 'completed', output_file_id: null, request_counts: { total: 2, completed: 0, failed: 2 } });
    const { errors } = await client.filesOf(done);
    expect(errors.get('failed').response).toMatchObject({ status_code: expect.any(Number), body: { error: { code: 'provider_unavailable' } } });
    expect(errors.get('failed').response.status_code).toBeGreaterThanOrEqual(500);
    expect(errors.get('refused').response).toMatchObject({ status_code: 400, body: { error: { message: expect.stringMatching(/\w/) } } });
    expect([upstream.calls.get('fail this'), upstream.calls.get('refuse this')]).toEqual([3, 1]);
  });
});

describe('what Redis is told of lines that bring pictures', () => {
  it('is everything but their bytes (promise 6)', async () => {
    const bytes = Buffer.from('the bytes of a small picture').toString('base64');
    const connection = new Redis(fana.redis.url);
    const monitor = await connection.monitor();
    const commands: string[] = [];
    monitor.on('monitor', (_time: string, words: string[]) => commands.push(words.join(' ')));
    const lines = [pictureLine('own', 'own a', { model: 'openai/own-image', init_image: `data:image/png;base64,${bytes}` })];
    const done = await client.ended((await client.create(lines)).id);
    monitor.disconnect();
    connection.disconnect();
    expect(done.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
    expect(commands.some((command) => command.includes(done.id))).toBe(true);
    expect(commands.filter((command) => command.includes(bytes))).toEqual([]);
  });
});

type Page = { data: { id: string; custom_id: string; response: unknown; error: unknown }[]; has_more: boolean; last_id: string | null };

describe('the results of a batch that runs', () => {
  it('come as lines end, in pages: every line once, nothing lost, and the same as in the files', async () => {
    callMs = 30;
    const total = 400;
    const lines = Array.from({ length: total }, (_, n) => pictureLine(`id-${n}`, n % 50 === 7 ? `refuse ${n}` : `paged ${n}`, { response_format: 'url' }));
    const batch = await client.create(lines);
    const seen: Page['data'] = [];
    let early = 0;
    for (let isOver = false; !isOver; ) {
      // Asked for before the page: a batch that had ended then has no more lines than the page says.
      const { status } = await client.retrieve(batch.id);
      for (let page: Page | undefined; page === undefined || page.has_more; ) {
        const after = seen.at(-1)?.id;
        const response = await fana.request(`/v1/batches/${batch.id}/results?limit=17${after === undefined ? '' : `&after=${after}`}`);
        expect(response.status).toBe(200);
        page = (await response.json()) as Page;
        seen.push(...page.data);
      }
      if (status === 'in_progress') early = seen.length;
      isOver = status === 'completed';
    }
    // While it ran, not at its end.
    expect(early).toBeGreaterThan(0);
    expect(seen.map(({ custom_id: id }) => id).sort()).toEqual(lines.map((_, n) => `id-${n}`).sort());
    const done = await client.retrieve(batch.id);
    const { output, errors } = await client.filesOf(done);
    expect([output.size, errors.size]).toEqual([392, 8]);
    for (const line of seen) {
      const told = output.get(line.custom_id) ?? errors.get(line.custom_id);
      expect([told.id, told.response.status_code]).toEqual([line.id, (line.response as { status_code: number }).status_code]);
    }
  });

  it.each(['after=batch_req_x_1', 'after=1', 'limit=0', 'limit=101'])('%s is a 400', async (query) => {
    const batch = await client.ended((await client.create([pictureLine('a', 'one')])).id);
    expect((await fana.request(`/v1/batches/${batch.id}/results?${query}`)).status).toBe(400);
  });
});

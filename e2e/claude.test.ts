import { LLMock } from '@copilotkit/aimock';
import OpenAI, { BadRequestError, toFile } from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

const MODEL = 'claude-sonnet-5-5';
const OLD = 'claude-3-5-sonnet-20241022';
const MANY_WORDS = 'The capital of Peru is Lima, a city of ten million people on the coast of the Pacific Ocean.';
const weather = { type: 'function' as const, function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } };

let mock: LLMock;
let fana: Installation;
let client: OpenAI;
let picture: Buffer;

const asks = (content: string, model = MODEL) => ({ model, messages: [{ role: 'user' as const, content }] });
const requests = () => mock.getRequests().map(({ path, body }) => ({ path, model: (body as { model?: string }).model }));

beforeAll(async () => {
  picture = await sharp({ create: { width: 32, height: 32, channels: 3, background: '#8844aa' } })
    .png()
    .toBuffer();
  mock = new LLMock({ port: 0, host: '127.0.0.1' });
  mock.on({ predicate: ({ messages }) => messages.at(-1)?.role === 'tool' }, { content: 'It is sunny in Lima.' });
  mock.on({ model: OLD }, { error: { message: `model: ${OLD}`, type: 'not_found_error' }, status: 404 });
  mock.on({ userMessage: 'weather' }, { toolCalls: [{ name: 'weather', arguments: '{"city":"Lima"}', id: 'toolu_1' }] });
  mock.on({ userMessage: 'long' }, { content: MANY_WORDS }, { latency: 20, chunkSize: 6 });
  mock.on({ userMessage: 'photo' }, { content: 'A violet square.' });
  mock.on({ userMessage: 'too much' }, { error: { message: 'prompt is too long: 2 tokens > 1 maximum', type: 'invalid_request_error' }, status: 400 });
  mock.on({}, { content: 'Lima.' });
  await mock.start();
  fana = await startInstallation({ env: { ANTHROPIC_API_KEY: 'test-anthropic', ANTHROPIC_BASE_URL: mock.url, FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
});
beforeEach(() => mock.clearRequests());
afterAll(async () => {
  await fana.stop();
  await mock.stop();
});

describe('with the key of Claude alone', () => {
  it('chat and vision go to the current Sonnet', async () => {
    const chat = await fana.ended((await fana.submit({ input: 'What is the capital of Peru?', type: 'chat' })).id);
    expect(chat).toMatchObject({ status: 'completed', output: { text: 'Lima.' }, served_by: { provider: 'anthropic' }, warnings: [] });
    const vision = await fana.ended((await fana.submit({ input: { text: 'What is on this photo?', images: [{ data: picture.toString('base64') }] } })).id);
    expect(vision).toMatchObject({
      type: 'vision',
      status: 'completed',
      output: { text: 'A violet square.' },
      attempts: [{ provider: 'anthropic', model: MODEL }],
    });
    expect(requests()).toEqual(Array(2).fill({ path: '/v1/messages', model: MODEL }));
  });

  it('an old Sonnet is asked first, then its successor answers and the job says so', async () => {
    const job = await fana.ended((await fana.submit({ input: 'What is the capital of Peru?', type: 'chat', model: OLD })).id);
    expect(job).toMatchObject({
      status: 'completed',
      served_by: { provider: 'anthropic' },
      warnings: [`${OLD} is not served any more; ${MODEL} answered instead.`],
      attempts: [
        { model: OLD, outcome: 'failed', error: { code: 'provider_model_missing' } },
        { model: MODEL, outcome: 'completed' },
      ],
    });
    expect(requests().map(({ model }) => model)).toEqual([OLD, MODEL]);
  });

  it('a picture has nobody, and says which variable to set', async () => {
    const response = await fana.request('/v1/jobs', { body: { input: 'draw a fox', type: 'image' } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'model_not_available', param: 'model', message: expect.stringContaining('OPENAI_API_KEY') } });
  });
});

describe("OpenAI's SDK", () => {
  it('streams a chat completion of Claude', async () => {
    const stream = await client.chat.completions.create({ ...asks('long'), stream: true, stream_options: { include_usage: true } });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const pieces = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).filter((text) => text !== '');
    expect(pieces.join('')).toBe(MANY_WORDS);
    expect(pieces.length).toBeGreaterThan(1);
    expect(chunks.flatMap(({ choices }) => choices.flatMap(({ finish_reason: reason }) => reason ?? []))).toEqual(['stop']);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: expect.any(Number) } });
  });

  it('has tools called and their results told', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'weather in Lima?' }];
    const first = await client.chat.completions.create({ model: MODEL, messages, tools: [weather] });
    const [choice] = first.choices;
    expect(choice).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null, tool_calls: [{ function: { name: 'weather', arguments: '{"city":"Lima"}' } }] },
    });
    if (!choice) throw new Error('no choice');
    const calls = choice.message.tool_calls ?? [];
    messages.push(choice.message, ...calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: 'sunny' })));
    const second = await client.chat.completions.create({ model: MODEL, messages, tools: [weather] });
    expect(second.choices[0]?.message.content).toBe('It is sunny in Lima.');
  });

  it('gets a response of Claude', async () => {
    const response = await client.responses.create({ model: MODEL, instructions: 'Be brief.', input: 'What is the capital of Peru?' });
    expect(response).toMatchObject({ status: 'completed', output_text: 'Lima.' });
    expect(requests()).toEqual([{ path: '/v1/messages', model: MODEL }]);
  });

  it('is refused what Claude cannot do, by name and before any call', async () => {
    const refused = async (body: object) => {
      const error = await client.chat.completions.create({ ...asks('Peru?'), ...body } as never).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(BadRequestError);
      return (error as BadRequestError).param;
    };
    expect(await refused({ temperature: 0.5 })).toBe('temperature');
    expect(await refused({ response_format: { type: 'json_object' } })).toBe('response_format');
    expect(await refused({ n: 2 })).toBe('n');
    expect(mock.getRequests()).toHaveLength(0);
  });

  it('is told of a conversation that is too long', async () => {
    const error = await client.chat.completions.create(asks('too much')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(mock.getRequests()).toHaveLength(1);
  });

  it('has the lines of a batch answered by Claude', async () => {
    const lines = ['a', 'b'].map((id) => JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/chat/completions', body: asks(`Peru, ${id}?`) }));
    const file = await client.files.create({ file: await toFile(Buffer.from(lines.join('\n')), 'lines.jsonl'), purpose: 'batch' });
    const { id } = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    await expect.poll(async () => (await client.batches.retrieve(id)).status, { timeout: 30_000, interval: 200 }).toBe('completed');
    const { output_file_id: output } = await client.batches.retrieve(id);
    const results = (await (await client.files.content(output ?? '')).text()).trim().split('\n');
    expect(results.map((line) => JSON.parse(line).response.body.choices[0].message.content)).toEqual(['Lima.', 'Lima.']);
  });
});

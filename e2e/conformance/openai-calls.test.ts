import OpenAI, { toFile } from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ADMIN_KEY } from '../support/installation.ts';
import { collect, conformance, TEXT } from './setup.ts';

// The official package, unmodified. Every reply is also held against OpenAI's published shapes (setup.ts).
const suite = conformance();
const ask = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: 'user', content }];
const weather = zodFunction({ name: 'weather', parameters: z.object({ city: z.string() }), function: ({ city }) => `sunny in ${city}` });
const png = (): Promise<Buffer> =>
  sharp({ create: { width: 16, height: 16, channels: 3, background: '#204060' } })
    .png()
    .toBuffer();
const widthOf = async (base64: string | undefined): Promise<number | undefined> => (await sharp(Buffer.from(base64 ?? '', 'base64')).metadata()).width;

describe('chat.completions', () => {
  it('answers, with usage, as one job and one call', async () => {
    const before = suite.upstream.calls().length;
    const { data, response } = await suite.client.chat.completions.create({ model: 'gpt-4o', messages: ask('Capital of Peru?') }).withResponse();
    const calls = suite.upstream.calls().slice(before);
    expect(calls).toMatchObject([{ body: { model: 'gpt-4o', messages: [{ role: 'user', content: 'Capital of Peru?' }] } }]);
    expect(response.headers.get('x-fana-served-by')).toBe('openai/gpt-4o');
    expect(data.choices[0]?.message).toMatchObject({ role: 'assistant', content: TEXT });
    expect(data.usage?.total_tokens).toBeGreaterThan(0);
    expect(await suite.fana.job(response.headers.get('x-fana-job-id') ?? '')).toMatchObject({ status: 'completed', type: 'chat' });
  });

  it('streams, and tells usage at the end when asked', async () => {
    const stream = await suite.client.chat.completions.create({
      model: 'gpt-4o',
      messages: ask('Capital of Peru?'),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(TEXT);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it("feeds the SDK's own stream helper", async () => {
    const helper = suite.client.chat.completions.stream({ model: 'gpt-4o', messages: ask('Capital of Peru?') });
    expect(await helper.finalContent()).toBe(TEXT);
  });

  it('a stream that breaks off upstream is an error of the SDK, after what was said', async () => {
    const pieces: string[] = [];
    const listen = async (): Promise<void> => {
      const stream = await suite.client.chat.completions.create({ model: 'gpt-4o', messages: ask('break off'), stream: true });
      for await (const { choices } of stream) pieces.push(choices[0]?.delta.content ?? '');
    };
    await expect(listen()).rejects.toBeInstanceOf(OpenAI.APIError);
    expect(TEXT.startsWith(pieces.join('')) && pieces.join('') !== '').toBe(true);
  });

  it.each([false, true])('calls tools, and takes their results (stream: %s)', async (stream) => {
    const runner = suite.client.chat.completions.runTools({
      model: 'gpt-4o',
      stream: stream as true,
      messages: ask('What is the weather in Lima?'),
      tools: [weather],
    });
    expect(await runner.finalContent()).toBe('Sun in Lima.');
    const sent = suite.upstream.calls().at(-1)?.body.messages;
    expect(sent?.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool']);
  });

  it('parses answers by a JSON schema', async () => {
    const completion = await suite.client.chat.completions.parse({
      model: 'gpt-4o',
      messages: ask('The city, as JSON'),
      response_format: zodResponseFormat(z.object({ name: z.string() }), 'city'),
    });
    expect(completion.choices[0]?.message.parsed).toEqual({ name: 'Lima' });
    expect(suite.upstream.calls().at(-1)?.body).toMatchObject({ response_format: { type: 'json_schema', json_schema: { name: 'city' } } });
  });

  it('reads pictures', async () => {
    const url = `data:image/png;base64,${(await png()).toString('base64')}`;
    const content = [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url } },
    ] as const;
    const { data, response } = await suite.client.chat.completions
      .create({ model: 'gpt-4o', messages: [{ role: 'user', content: [...content] }] })
      .withResponse();
    expect(data.choices[0]?.message.content).toBe(TEXT);
    expect(await suite.fana.job(response.headers.get('x-fana-job-id') ?? '')).toMatchObject({ type: 'vision' });
  });
});

describe('images', () => {
  it('are generated as base64, or as links that work', async () => {
    const made = await suite.client.images.generate({ model: 'gpt-image-2', prompt: 'a fox', size: '1024x1024', quality: 'low' });
    expect(await widthOf(made.data?.[0]?.b64_json)).toBe(32);
    // Asked for, or the default of the alias as of DALL·E.
    for (const asked of [{ model: 'gpt-image-2', response_format: 'url' }, { model: 'image-default' }] as const) {
      const linked = await suite.client.images.generate({ prompt: 'a fox', ...asked });
      expect((await fetch(linked.data?.[0]?.url ?? '')).headers.get('content-type')).toBe('image/png');
    }
  });

  it('are edited, with a mask, from one picture or several', async () => {
    const [one, two, mask] = await Promise.all(['one.png', 'two.png', 'mask.png'].map(async (name) => toFile(await png(), name, { type: 'image/png' })));
    const edited = await suite.client.images.edit({ model: 'gpt-image-2', prompt: 'make it red', image: [one as File, two as File], mask: mask as File });
    expect(await widthOf(edited.data?.[0]?.b64_json)).toBe(32);
    expect(await widthOf((await suite.client.images.edit({ model: 'gpt-image-2', prompt: 'blue', image: one as File })).data?.[0]?.b64_json)).toBe(32);
  });
});

describe('embeddings', () => {
  it("come as the SDK's numbers, whichever way they travel", async () => {
    const unsaid = await suite.client.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'] });
    const floats = await suite.client.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'], encoding_format: 'float' });
    expect(unsaid.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(unsaid.data[0]?.embedding).toHaveLength(floats.data[0]?.embedding.length ?? -1);
    for (const [at, value] of (floats.data[0]?.embedding ?? []).entries()) expect(unsaid.data[0]?.embedding[at]).toBeCloseTo(value, 5);
  });
});

describe('models', () => {
  it('are listed with aliases, and retrieved', async () => {
    const ids = (await collect(suite.client.models.list())).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(['gpt-4o', 'gpt-image-2', 'chat-default', 'image-default']));
    expect(await suite.client.models.retrieve('gpt-image-2')).toMatchObject({ id: 'gpt-image-2', object: 'model' });
    await expect(suite.client.models.retrieve('no-such-model')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe('errors are of the class that the SDK has for them', () => {
  const refused = (call: (client: OpenAI) => PromiseLike<unknown>, apiKey = ADMIN_KEY): Promise<unknown> => {
    const client = new OpenAI({ apiKey, baseURL: `${suite.fana.url}/v1`, maxRetries: 0, fetch: suite.fetch });
    return Promise.resolve(call(client)).then(
      () => expect.fail('it was not refused'),
      (error) => error,
    );
  };

  it('400, 401 and 404', async () => {
    const before = suite.upstream.calls().length;
    const unknown = await refused((client) => client.chat.completions.create({ model: 'gpt-4o', messages: ask('Hi'), ...({ flavour: 1 } as object) }));
    expect(unknown).toBeInstanceOf(OpenAI.BadRequestError);
    expect(unknown).toMatchObject({ code: 'unsupported_parameter', param: 'flavour' });
    expect(suite.upstream.calls()).toHaveLength(before);
    expect(await refused((client) => client.models.list(), 'wrong')).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(await refused((client) => client.chat.completions.create({ model: 'no-such', messages: ask('Hi') }))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await refused((client) => client.responses.retrieve('resp_0123456789012345678901'))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await refused((client) => client.batches.retrieve('batch_0123456789012345678901'))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it("the provider's own 400 and 429", async () => {
    const long = await refused((client) => client.chat.completions.create({ model: 'gpt-4o', messages: ask('too long') }));
    expect(long).toBeInstanceOf(OpenAI.BadRequestError);
    expect(long).toMatchObject({ code: 'context_length_exceeded' });
    const spent = await refused((client) => client.images.generate({ model: 'gpt-image-2', prompt: 'no money left' }));
    expect(spent).toBeInstanceOf(OpenAI.RateLimitError);
    expect(spent).toMatchObject({ code: 'insufficient_quota' });
    expect((spent as InstanceType<typeof OpenAI.APIError>).headers?.get('x-should-retry')).toBe('false');
  });
});

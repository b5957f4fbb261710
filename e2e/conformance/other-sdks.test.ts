import { createOpenAI, type OpenAIProvider } from '@ai-sdk/openai';
import {
  embed,
  generateImage,
  generateText,
  experimental_getBatchResults as getBatchResults,
  experimental_getBatchStatus as getBatchStatus,
  isStepCount,
  jsonSchema,
  Output,
  experimental_startBatch as startBatch,
  streamText,
  tool,
} from 'ai';
import Groq from 'groq-sdk';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ADMIN_KEY } from '../support/installation.ts';
import { CITY, collect, conformance, TEXT } from './setup.ts';

const suite = conformance();

describe('groq-sdk', () => {
  const groq = (): Groq => new Groq({ apiKey: ADMIN_KEY, baseURL: suite.fana.url, maxRetries: 0, fetch: suite.fetch });
  const messages: Groq.Chat.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Capital of Peru?' }];

  it('asks, under /openai/v1', async () => {
    const completion = await groq().chat.completions.create({ model: 'openai/gpt-oss-20b', messages });
    expect(completion.choices[0]?.message.content).toBe(TEXT);
    expect(suite.upstream.calls().at(-1)?.path).toBe('/openai/v1/chat/completions');
  });

  it('streams', async () => {
    const chunks = await collect(await groq().chat.completions.create({ model: 'openai/gpt-oss-20b', messages, stream: true }));
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(TEXT);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
  });

  it('lists models', async () => expect((await groq().models.list()).data.map(({ id }) => id)).toContain('openai/gpt-oss-20b'));
});

describe('the Vercel AI SDK', () => {
  const provider = (): OpenAIProvider => createOpenAI({ apiKey: ADMIN_KEY, baseURL: `${suite.fana.url}/v1`, fetch: suite.fetch });
  const weather = tool({ description: 'The weather', inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `sunny in ${city}` });

  describe.each([
    ['over responses, its default', () => provider()('gpt-4o')],
    ['over .chat()', () => provider().chat('gpt-4o')],
  ])('%s', (_, model) => {
    it('generateText', async () => {
      const { text, finishReason, usage } = await generateText({ model: model(), prompt: 'Capital of Peru?', maxRetries: 0 });
      expect([text, finishReason]).toEqual([TEXT, 'stop']);
      expect(usage.totalTokens).toBeGreaterThan(0);
    });

    it('streamText', async () => {
      const { textStream, finishReason } = streamText({ model: model(), prompt: 'Capital of Peru?', maxRetries: 0 });
      expect((await collect(textStream)).join('')).toBe(TEXT);
      expect(await finishReason).toBe('stop');
    });

    it('a tool is called, and its result answered', async () => {
      const { text, steps } = await generateText({
        model: model(),
        prompt: 'What is the weather in Lima?',
        tools: { weather },
        stopWhen: isStepCount(3),
        maxRetries: 0,
      });
      expect(steps[0]?.toolResults[0]).toMatchObject({ toolName: 'weather', output: 'sunny in Lima' });
      expect(text).toBe('Sun in Lima.');
    });

    it('an object by its schema', async () => {
      const output = Output.object({ schema: jsonSchema<{ name: string }>(CITY.schema as object) });
      expect((await generateText({ model: model(), prompt: 'The city, as JSON', output, maxRetries: 0 })).output).toEqual({ name: 'Lima' });
    });
  });

  it('generateImage', async () => {
    const { image } = await generateImage({ model: provider().image('gpt-image-2'), prompt: 'a fox', maxRetries: 0 });
    expect((await sharp(image.uint8Array).metadata()).width).toBe(32);
  });

  it('generateImage from a picture', async () => {
    const given = await sharp({ create: { width: 16, height: 16, channels: 3, background: '#204060' } })
      .png()
      .toBuffer();
    const { image } = await generateImage({ model: provider().image('gpt-image-2'), prompt: { text: 'make it red', images: [given] }, maxRetries: 0 });
    expect((await sharp(image.uint8Array).metadata()).width).toBe(32);
    expect(suite.checked.get('POST images/edits')).toBe(1);
  });

  it('embed', async () => {
    const { embedding } = await embed({ model: provider().embedding('text-embedding-3-small'), value: 'Peru', maxRetries: 0 });
    expect(embedding.length).toBeGreaterThan(100);
  });

  it('a batch of its own, of texts', async () => {
    const openai = provider();
    const ask = (id: string) => ({ id, type: 'text', model: 'gpt-4o', prompt: 'Capital of Peru?' }) as const;
    const batch = await startBatch({ provider: openai, requests: [ask('one'), ask('two')] });
    await expect.poll(async () => (await getBatchStatus({ provider: openai, batch })).status, { timeout: 30_000 }).toBe('completed');
    const results = await collect(getBatchResults({ provider: openai, batch }));
    expect(results.map(({ id }) => id).sort()).toEqual(['one', 'two']);
    for (const result of results) expect(result).toMatchObject({ status: 'succeeded', text: TEXT, finishReason: 'stop' });
  });
});

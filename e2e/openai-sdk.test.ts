import OpenAI from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let fana: Installation;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startUpstream(() => 'Lima.');
  fana = await startInstallation({ env: upstream.env });
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

it('a chat completion is one job and one call, with the messages as they came', async () => {
  const { data, response } = await client.chat.completions
    .create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'What is the capital of Peru?' }], temperature: 0.5 })
    .withResponse();
  expect(data).toMatchObject({ object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'Lima.' }, finish_reason: 'stop' }] });
  expect(upstream.calls()).toHaveLength(1);
  expect(upstream.calls()[0]?.body).toMatchObject({ model: 'gpt-4o', messages: [{ role: 'user', content: 'What is the capital of Peru?' }] });
  expect(response.headers.get('x-fana-served-by')).toBe('openai/gpt-4o');
  const job = await fana.job(response.headers.get('x-fana-job-id') ?? '');
  expect(job).toMatchObject({ type: 'chat', status: 'completed', output: { text: 'Lima.' } });
});

it('a picture comes as base64 from gpt-image models and as a link from the alias', async () => {
  const made = await client.images.generate({ model: 'gpt-image-2', prompt: 'a fox' });
  const bytes = Buffer.from(made.data?.[0]?.b64_json ?? '', 'base64');
  expect((await sharp(bytes).metadata()).width).toBe(32);
  const linked = await client.images.generate({ model: 'image-default', prompt: 'a fox' });
  expect((await fetch(linked.data?.[0]?.url ?? '')).headers.get('content-type')).toBe('image/png');
});

it('an unknown parameter is refused by its name in the body, before any call', async () => {
  const before = upstream.calls().length;
  const refused = client.chat.completions.create({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'Hi' }],
    ...({ flavour: 'mint' } as object),
  });
  await expect(refused).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter', param: 'flavour' });
  expect(upstream.calls()).toHaveLength(before);
});

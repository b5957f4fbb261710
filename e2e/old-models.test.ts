import OpenAI from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { answerChat, answerImage, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

/** What an account of today answers for a model it never had. */
const NOT_FOUND = JSON.stringify({ error: { message: 'The model does not exist', type: 'invalid_request_error', code: 'model_not_found', param: null } });
const OLD = new Set(['llama3-70b-8192', 'llama-3.3-70b-versatile', 'dall-e-3', 'gpt-4-vision-preview']);

describe.each([
  ['has', true],
  ['lacks', false],
])('an account that %s the models of before', (_name, has) => {
  let upstream: FaultUpstream;
  let fana: Installation;
  let client: OpenAI;
  const sent = (): Record<string, unknown>[] => upstream.bodies.map((body) => JSON.parse(body));
  const models = (old: string, successor: string): string[] => (has ? [old] : [old, successor]);
  beforeAll(async () => {
    const png = await sharp({ create: { width: 32, height: 16, channels: 3, background: '#8844aa' } })
      .png()
      .toBuffer();
    upstream = await startFaultUpstream(({ path, body }, response) => {
      const { model } = JSON.parse(body);
      if (OLD.has(model) && !has) response.writeHead(404, { 'content-type': 'application/json' }).end(NOT_FOUND);
      else if (!path.includes('/images/')) answerChat(response, `An answer of ${model}.`);
      else if (model !== 'dall-e-3') answerImage(response);
      else {
        const data = [{ b64_json: png.toString('base64'), revised_prompt: 'A red fox in deep snow.' }];
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ created: 1, data }));
      }
    });
    fana = await startInstallation({ env: upstream.env });
    client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
  });
  beforeEach(() => void upstream.bodies.splice(0));
  afterAll(async () => {
    await fana.stop();
    await upstream.stop();
  });

  it('is asked for Llama on Groq as itself, in its own words', async () => {
    const messages = [{ role: 'user' as const, content: 'Peru?' }];
    const said = { messages, max_tokens: 9, temperature: 0.2, seed: 7, stop: ['x'] };
    const { data, response } = await client.chat.completions.create({ model: 'llama3-70b-8192', ...said }).withResponse();
    const wire = { messages, max_completion_tokens: 9, temperature: 0.2, seed: 7, stop: ['x'], stream: true, stream_options: { include_usage: true } };
    expect(sent()).toEqual(models('llama3-70b-8192', 'openai/gpt-oss-120b').map((model) => ({ model, ...wire })));
    expect(data.choices[0]?.message.content).toBe(`An answer of ${has ? 'llama3-70b-8192' : 'openai/gpt-oss-120b'}.`);
    const job = await fana.job(response.headers.get('x-fana-job-id') ?? '');
    expect(job.warnings).toEqual(has ? [] : ['llama3-70b-8192 is not served any more; openai/gpt-oss-120b answered instead.']);
  });

  it('is asked for DALL·E 3 as itself, in its own words, and its revised prompt is told', async () => {
    const prompt = 'a fox in the snow';
    const made = await client.images.generate({ model: 'dall-e-3', prompt, size: '1792x1024', quality: 'hd', style: 'natural', response_format: 'url' });
    const old = { model: 'dall-e-3', prompt, size: '1792x1024', quality: 'hd', style: 'natural', response_format: 'b64_json' };
    const successor = { model: 'gpt-image-2', prompt: `${prompt}\n\nStyle: natural, not hyper-real.`, size: '1792x1024', quality: 'high' };
    expect(sent()).toEqual(has ? [old] : [old, successor]);
    expect(made.data?.[0]?.url).toMatch(/^http.*\/v1\/blobs\/blob_.*sig=[0-9a-f]+$/);
    expect(made.data?.[0]?.revised_prompt ?? undefined).toBe(has ? 'A red fox in deep snow.' : undefined);
    const bytes = Buffer.from(await (await fetch(made.data?.[0]?.url ?? '')).arrayBuffer());
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'png' });
  });

  it('is asked for a picture of DALL·E 3 as bytes too', async () => {
    const made = await client.images.generate({ model: 'dall-e-3', prompt: 'a fox', response_format: 'b64_json' });
    expect(made.data?.[0]?.b64_json).toMatch(/^iVBOR/);
    expect(made.data?.[0]?.url).toBeUndefined();
    // What the account lacks is known by now.
    expect(sent().map(({ model }) => model)).toEqual([has ? 'dall-e-3' : 'gpt-image-2']);
  });

  it('is asked for GPT-4V as itself, shown the picture as a data URL', async () => {
    const url = `data:image/png;base64,${(
      await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
        .png()
        .toBuffer()
    ).toString('base64')}`;
    const content = [
      { type: 'text' as const, text: 'What is on it?' },
      { type: 'image_url' as const, image_url: { url, detail: 'low' as const } },
    ];
    const messages = [{ role: 'user' as const, content }];
    const { data, response } = await client.chat.completions.create({ model: 'gpt-4-vision-preview', messages, max_tokens: 300 }).withResponse();
    const asked = sent();
    expect(asked.map(({ model }) => model)).toEqual(models('gpt-4-vision-preview', 'gpt-6-luna'));
    for (const body of asked) expect(body['messages']).toEqual([{ role: 'user', content: [content[0], content[1]] }]);
    // The model of before knows the word of before alone.
    expect(asked[0]).toMatchObject({ max_tokens: 300 });
    expect(asked[0]).not.toHaveProperty('max_completion_tokens');
    if (!has) expect(asked[1]).toMatchObject({ max_completion_tokens: 300 });
    expect(data.choices[0]?.message.content).toContain(has ? 'gpt-4-vision-preview' : 'gpt-6-luna');
    expect((await fana.job(response.headers.get('x-fana-job-id') ?? '')).type).toBe('vision');
  });

  it('is not asked for two pictures of DALL·E 3 at once while it may be the one that answers', async () => {
    const made = await client.images.generate({ model: 'dall-e-3', prompt: 'a fox', n: 2 }).catch((thrown: unknown) => thrown);
    if (has) expect(made).toMatchObject({ status: 400, param: 'n' });
    expect(sent().filter(({ model }) => model === 'dall-e-3')).toEqual([]);
  });
});

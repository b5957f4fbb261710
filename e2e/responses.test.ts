import OpenAI from 'openai';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';
import { lastText, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let fana: Installation;
let client: OpenAI;
let stranger: OpenAI;
/** Lets the call go on that a test holds back by asking `hold on`. */
let release: () => void = () => undefined;
let isHeld = false;

const newKey = async (tenant: string): Promise<string> => {
  const made = await fana.request('/v1/admin/keys', { body: { name: tenant, tenant, scopes: ['jobs'] } });
  return ((await made.json()) as { key: string }).key;
};
const clientOf = (apiKey: string): OpenAI => new OpenAI({ apiKey, baseURL: `${fana.url}/v1`, maxRetries: 0 });
const lastCall = () => upstream.calls().at(-1)?.body;

beforeAll(async () => {
  upstream = await startUpstream(async (request) => {
    const asked = lastText(request);
    if (asked.includes('hold on')) {
      await new Promise<void>((resolve) => {
        release = resolve;
        isHeld = true;
      });
      isHeld = false;
    }
    return `You said: ${asked}`;
  });
  fana = await startInstallation({ env: upstream.env });
  client = clientOf(ADMIN_KEY);
  stranger = clientOf(await newKey('stranger'));
});
afterEach(() => release());
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

it('a response is one job and one chat completion upstream', async () => {
  const { data, response } = await client.responses
    .create({ model: 'gpt-4o', input: 'Hello', instructions: 'Be brief.', temperature: 0.5, max_output_tokens: 100, metadata: { order: '42' } })
    .withResponse();
  expect(data.output_text).toBe('You said: Hello');
  expect(data).toMatchObject({
    id: expect.stringMatching(/^resp_[0-9A-Za-z]{22}$/),
    object: 'response',
    status: 'completed',
    error: null,
    incomplete_details: null,
    instructions: 'Be brief.',
    output: [{ type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'You said: Hello', annotations: [] }] }],
    temperature: 0.5,
    max_output_tokens: 100,
    metadata: { order: '42' },
    usage: { input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
    store: true,
    background: false,
    tools: [],
  });
  expect(lastCall()).toMatchObject({
    model: 'gpt-4o',
    max_completion_tokens: 100,
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
    ],
  });
  const jobId = response.headers.get('x-fana-job-id') ?? '';
  expect(data.id.slice('resp_'.length)).toBe(jobId.slice('job_'.length));
  expect(await fana.job(jobId)).toMatchObject({ type: 'chat', status: 'completed', metadata: { order: '42' } });
  const again = await client.responses.retrieve(data.id);
  expect(again).toEqual({ ...data, output_text: again.output_text });
});

it('a chain hands on what was said, but not the instructions', async () => {
  const first = await client.responses.create({ model: 'gpt-4o', input: 'I am Ada.', instructions: 'Be brief.' });
  const second = await client.responses.create({ model: 'gpt-4o', input: 'Who am I?', previous_response_id: first.id });
  const third = await client.responses.create({ model: 'gpt-4o', input: [{ role: 'user', content: 'Sure?' }], previous_response_id: second.id });
  expect(third.previous_response_id).toBe(second.id);
  expect(lastCall()?.messages).toEqual([
    { role: 'user', content: 'I am Ada.' },
    { role: 'assistant', content: 'You said: I am Ada.' },
    { role: 'user', content: 'Who am I?' },
    { role: 'assistant', content: 'You said: Who am I?' },
    { role: 'user', content: 'Sure?' },
  ]);
  const before = upstream.calls().length;
  const unknown = client.responses.create({ model: 'gpt-4o', input: 'x', previous_response_id: 'resp_0000000000000000000000' });
  await expect(unknown).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
  const foreign = stranger.responses.create({ model: 'gpt-4o', input: 'x', previous_response_id: first.id });
  await expect(foreign).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
  expect(upstream.calls()).toHaveLength(before);
});

it('a chain keeps its pictures although the response they came with was deleted', async () => {
  const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#112233' } })
    .png()
    .toBuffer();
  const url = `data:image/png;base64,${png.toString('base64')}`;
  const first = await client.responses.create({
    model: 'gpt-4o',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'What is it?' },
          { type: 'input_image', image_url: url, detail: 'low' },
        ],
      },
    ],
  });
  expect(lastCall()?.messages).toEqual([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is it?' },
        { type: 'image_url', image_url: { url, detail: 'low' } },
      ],
    },
  ]);
  const second = await client.responses.create({ model: 'gpt-4o', input: 'And now?', previous_response_id: first.id });
  await client.responses.delete(first.id);
  await client.responses.create({ model: 'gpt-4o', input: 'Still?', previous_response_id: second.id });
  expect(JSON.stringify(lastCall()?.messages)).toContain(url);
});

it('in the background it is answered at once, fetched when it is done and gone when it is deleted', async () => {
  const queued = await client.responses.create({ model: 'gpt-4o', input: 'please hold on', background: true });
  expect(queued).toMatchObject({ status: 'queued', background: true, output: [] });
  await expect.poll(async () => (await client.responses.retrieve(queued.id)).status, { timeout: 20_000 }).toBe('in_progress');
  await expect(client.responses.delete(queued.id)).rejects.toMatchObject({ status: 409 });
  await expect.poll(() => isHeld, { timeout: 20_000 }).toBe(true);
  release();
  await expect.poll(async () => (await client.responses.retrieve(queued.id)).status, { timeout: 20_000 }).toBe('completed');
  expect((await client.responses.retrieve(queued.id)).output_text).toBe('You said: please hold on');
  const deleted = await fana.request(`/v1/responses/${queued.id}`, { method: 'DELETE' });
  expect(await deleted.json()).toEqual({ id: queued.id, object: 'response', deleted: true });
  await expect(client.responses.retrieve(queued.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

it('a response in the background can be cancelled, again and again; any other cannot', async () => {
  const { id } = await client.responses.create({ model: 'gpt-4o', input: 'please hold on', background: true });
  await expect.poll(async () => (await client.responses.retrieve(id)).status, { timeout: 20_000 }).toBe('in_progress');
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
  const blocking = await client.responses.create({ model: 'gpt-4o', input: 'Hi' });
  await expect(client.responses.cancel(blocking.id)).rejects.toMatchObject({ status: 400, param: 'response_id' });
});

it('what is not to be stored cannot be fetched, continued or deleted; its job is there', async () => {
  const { data, response } = await client.responses.create({ model: 'gpt-4o', input: 'Hi', store: false }).withResponse();
  expect(data).toMatchObject({ status: 'completed', store: false });
  await expect(client.responses.retrieve(data.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  await expect(client.responses.delete(data.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  await expect(client.responses.create({ model: 'gpt-4o', input: 'x', previous_response_id: data.id })).rejects.toMatchObject({ status: 404 });
  expect(await fana.job(response.headers.get('x-fana-job-id') ?? '')).toMatchObject({ status: 'completed' });
});

it('another tenant, and the id of a job that is no response, find nothing', async () => {
  const { id } = await client.responses.create({ model: 'gpt-4o', input: 'Hi', background: true });
  const job = await fana.submit({ type: 'chat', input: 'Hi' });
  const theirs = [client, job.id.replace('job_', 'resp_')] as const;
  for (const [who, what] of [[stranger, id], theirs] as const) {
    await expect(who.responses.retrieve(what)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(who.responses.cancel(what)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(who.responses.delete(what)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  }
  expect((await fana.request(`/openai/v1/responses/${id}`)).status).toBe(200);
});

it('errors come as the classes of the SDK, with the place in the body', async () => {
  const before = upstream.calls().length;
  const bad = client.responses.create({ model: 'gpt-4o', input: 'x', tools: [{ type: 'web_search' }] });
  await expect(bad).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  await expect(bad).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'tools.0.type' });
  await expect(client.responses.create({ model: 'gpt-4o', input: 'x', reasoning: { effort: 'low' } })).rejects.toMatchObject({ param: 'reasoning.effort' });
  await expect(client.responses.create({ model: 'no-such', input: 'x' })).rejects.toMatchObject({ param: 'model' });
  await expect(client.responses.create({ model: 'gpt-4o', input: 'x', ...({ flavour: 'mint' } as object) })).rejects.toMatchObject({ param: 'flavour' });
  await expect(clientOf('sk-none').responses.create({ model: 'gpt-4o', input: 'x' })).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  expect(upstream.calls()).toHaveLength(before);
});

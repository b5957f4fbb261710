import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Installation, type Job, startInstallation } from './support/installation.ts';
import { startUpstream, type Upstream, type UpstreamCall } from './support/upstream.ts';

let upstream: Upstream;
let fana: Installation;
let photos: Server;
let photoUrl: string;
let jpeg: Buffer;

beforeAll(async () => {
  jpeg = await sharp({ create: { width: 64, height: 48, channels: 3, background: '#cc3311' } })
    .jpeg()
    .toBuffer();
  photos = createServer((_, response) => response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(jpeg));
  await new Promise<void>((resolve) => photos.listen(0, '127.0.0.1', resolve));
  photoUrl = `http://127.0.0.1:${(photos.address() as AddressInfo).port}/photo.JPG?x=1`;
  upstream = await startUpstream();
  fana = await startInstallation({ env: { ...upstream.env, FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
  photos.close();
});

/** Runs one message through the whole house and returns the job with the calls it made upstream. */
const run = async (input: unknown): Promise<{ job: Job; calls: UpstreamCall[] }> => {
  const before = upstream.calls().length;
  const { id } = await fana.submit({ input });
  const job = await fana.ended(id);
  return { job, calls: upstream.calls().slice(before) };
};
const expectOneCall = ({ job, calls }: { job: Job; calls: UpstreamCall[] }): UpstreamCall => {
  expect(job.error).toBeNull();
  expect(job.status).toBe('completed');
  expect(calls).toHaveLength(1);
  expect(job.attempts).toMatchObject([{ number: 1, outcome: 'completed' }]);
  return calls[0] as UpstreamCall;
};

it.each(['what is the capital of Peru?', 'schreib mir einen Prompt für Midjourney', 'draw a conclusion from this data'])(
  '"%s" is answered by chat on Groq',
  async (input) => {
    const result = await run(input);
    const call = expectOneCall(result);
    expect(result.job).toMatchObject({
      type: 'chat',
      trigger: { label: 'chat', source: 'model' },
      served_by: { provider: 'groq' },
      output: { text: 'An answer.' },
    });
    expect(call.path).toBe('/openai/v1/chat/completions');
    expect(call.body.messages?.at(-1)).toMatchObject({ role: 'user', content: input });
  },
);

it('"dibuja un zorro en la nieve" becomes a stored picture made by OpenAI', async () => {
  const result = await run('dibuja un zorro en la nieve');
  const call = expectOneCall(result);
  expect(result.job).toMatchObject({ type: 'image', trigger: { label: 'image' }, served_by: { provider: 'openai' } });
  expect(call.path).toBe('/v1/images/generations');
  // aimock writes the prompt of a picture call into its journal as a message.
  expect(call.body.messages?.at(-1)?.content).toBe('dibuja un zorro en la nieve');
  const image = result.job.output?.images?.[0];
  expect(image).toMatchObject({ media_type: 'image/png', width: 32, height: 32 });
  const bytes = Buffer.from(await (await fetch(image?.url ?? '')).arrayBuffer());
  expect(bytes).toHaveLength(image?.bytes ?? 0);
  expect(await sharp(bytes).metadata()).toMatchObject({ format: 'png', width: 32 });
});

/** The data URLs of the pictures in the last message of a call. */
const picturesOf = (call: UpstreamCall): Buffer[] => {
  const content = call.body.messages?.at(-1)?.content;
  if (!Array.isArray(content)) return [];
  return content.flatMap((part: { image_url?: { url: string } }) =>
    part.image_url ? [Buffer.from(part.image_url.url.replace(/^data:image\/\w+;base64,/, ''), 'base64')] : [],
  );
};

it('a linked picture with a question is fetched and looked at', async () => {
  const result = await run(`${photoUrl} what is this?`);
  const call = expectOneCall(result);
  expect(result.job).toMatchObject({
    type: 'vision',
    trigger: { label: 'vision' },
    served_by: { provider: 'openai' },
    sources: [{ url: photoUrl, kind: 'image', status: 'read' }],
  });
  expect(call.path).toBe('/v1/chat/completions');
  expect(picturesOf(call)).toEqual([jpeg]);
});

it('an attached picture with a question is looked at', async () => {
  const result = await run({ text: 'what colour is this wall?', images: [{ data: jpeg.toString('base64'), media_type: 'image/jpeg' }] });
  const call = expectOneCall(result);
  expect(result.job).toMatchObject({ type: 'vision', served_by: { provider: 'openai' }, output: { text: 'An answer.' } });
  expect(picturesOf(call)).toEqual([jpeg]);
});

it('messages with picture parts reach the provider in their order', async () => {
  const result = await run({
    messages: [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is on this?' },
          { type: 'image_url', image_url: { url: `data:image/jpeg;base64,${jpeg.toString('base64')}` } },
        ],
      },
    ],
  });
  const call = expectOneCall(result);
  expect(result.job.type).toBe('vision');
  expect(call.body.messages?.map(({ role }) => role)).toEqual(['system', 'system', 'user']);
  expect(picturesOf(call)).toEqual([jpeg]);
});

it('a picture that is none fails the job before any provider call', async () => {
  const attached = await run({ text: 'what is this?', images: [{ data: Buffer.from('not a picture at all').toString('base64') }] });
  expect(attached.job).toMatchObject({ status: 'failed', error: { code: 'image_unreadable' }, attempts: [] });
  const linked = await run('http://127.0.0.1:1/gone.png what is this?');
  expect(linked.job).toMatchObject({ status: 'failed', error: { code: 'image_unreadable' }, attempts: [] });
  expect([...attached.calls, ...linked.calls]).toEqual([]);
});

it('old names are served by their vendor and the reply says so', async () => {
  const { id } = await fana.submit({ input: 'hello', model: 'llama3-70b-8192', type: 'chat' });
  expect(await fana.ended(id)).toMatchObject({ status: 'completed', served_by: { provider: 'groq' } });
});

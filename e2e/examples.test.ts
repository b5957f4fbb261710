import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { freePort } from '@fana/testkit/free-port.ts';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

const EXAMPLES = join(import.meta.dirname, '../examples');

let fana: Installation;
let folder: string;
const running: ChildProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fana-examples-'));
  // No provider key: the simulated provider serves.
  fana = await startInstallation({ env: { FANA_ALLOW_PRIVATE_NETWORK: 'true' }, workers: 2 });
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await fana?.stop();
  await rm(folder, { recursive: true, force: true });
});

type Run = { child: ChildProcess; said: () => string; complained: () => string; ended: Promise<number | null> };

/** Starts an example as a user does, but with its address and key in `env`. */
const start = (name: string, args: string[] = [], env: Record<string, string> = { FANA_URL: fana.url, FANA_API_KEY: ADMIN_KEY }): Run => {
  const command = name.endsWith('.sh') ? 'sh' : process.execPath;
  const child = spawn(command, [join(EXAMPLES, name), ...args], { cwd: folder, env: { PATH: process.env['PATH'] ?? '', ...env } });
  running.push(child);
  let said = '';
  let complained = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    complained += chunk.toString();
  });
  return { child, said: () => said, complained: () => complained, ended: once(child, 'close').then(() => child.exitCode) };
};

const run = async (name: string, args: string[] = [], env?: Record<string, string>): Promise<{ code: number | null; said: string; complained: string }> => {
  const { ended, said, complained } = start(name, args, env);
  return { code: await ended, said: said(), complained: complained() };
};

const NAMES = ['batch-of-pictures.mjs', 'webhook-receiver.mjs', 'vercel-ai-sdk.mjs', 'curl.sh'];

it("the README's code for the OpenAI SDK runs as it stands", async () => {
  const readme = await readFile(join(EXAMPLES, '../README.md'), 'utf8');
  const code = /## Use it with the OpenAI SDK\n(?:.*\n)*?```js\n((?:.*\n)*?)```/.exec(readme)?.[1] ?? '';
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], { cwd: EXAMPLES, env: { FANA_URL: fana.url, FANA_API_KEY: ADMIN_KEY } });
  running.push(child);
  const said = (await child.stdout.toArray()).join('');
  const [answer, url = ''] = said.trim().split('\n');
  expect(answer).toContain('simulated');
  expect((await fetch(url)).headers.get('content-type')).toBe('image/png');
});

it('every example is here', async () => {
  const found = (await readdir(EXAMPLES)).filter((name) => /\.(mjs|sh)$/.test(name) && name !== 'settings.mjs');
  expect(found.sort()).toEqual([...NAMES].sort());
});

describe.each(NAMES)('%s', (name) => {
  it('explains itself', async () => {
    const { code, said } = await run(name, ['--help'], {});
    expect(code).toBe(0);
    expect(said).toContain(`examples/${name}`);
    expect(said).toContain('FANA_API_KEY');
  });

  it('says what is missing without a key', async () => {
    const { code, said, complained } = await run(name, [], {});
    expect([code, said]).toEqual([1, '']);
    expect(complained).toMatch(/^FANA_API_KEY is not set\.\n(?:.|\n)*FANA_URL/);
  });

  it('begins with what it shows', async () => {
    expect(await readFile(join(EXAMPLES, name), 'utf8')).toMatch(/^(#!.*\n# |\/\/ )\w.{40}/);
  });
});

it('batch-of-pictures.mjs saves a picture for each prompt', async () => {
  const { code, said, complained } = await run('batch-of-pictures.mjs', ['--out', 'foxes']);
  expect([code, complained]).toEqual([0, '']);
  expect(said).toMatch(/^batch_\w+: 6 prompts\n(.*\n)*completed: 6 of 6 made, 0 failed\n/);
  const saved = await readdir(join(folder, 'foxes'));
  expect(saved.sort()).toEqual([1, 2, 3, 4, 5, 6].map((n) => `picture-0000${n}.png`));
  for (const name of saved) expect(await sharp(join(folder, 'foxes', name)).metadata()).toMatchObject({ format: 'png', width: 1024, height: 1024 });
});

it('batch-of-pictures.mjs takes prompts from a file, and prints why a line failed; the receiver says why it cannot be reached', async () => {
  const upstream = await startFastUpstream({ behave: ({ key }) => (key.startsWith('refuse') ? { status: 400 } : 'answer') });
  const other = await startInstallation({ env: upstream.env });
  try {
    await writeFile(join(folder, 'prompts.txt'), 'a good fox\n\nrefuse this fox\n');
    const env = { FANA_URL: other.url, FANA_API_KEY: ADMIN_KEY };
    const { code, said, complained } = await run('batch-of-pictures.mjs', ['--out', 'mixed', 'prompts.txt'], env);
    expect(code).toBe(1);
    expect(said).toMatch(/: 2 prompts\n(.*\n)*completed: 1 of 2 made, 1 failed\nsaved mixed.picture-00001\.png\n$/);
    expect(complained).toMatch(/^failed picture-00002: \w+: .+\n$/);
    expect(await readdir(join(folder, 'mixed'))).toEqual(['picture-00001.png']);

    const receiver = await run('webhook-receiver.mjs', ['--port', '0'], env);
    expect(receiver.code).toBe(1);
    expect(receiver.complained).toMatch(/^FANA does not send to http:.+\n.+FANA_ALLOW_PRIVATE_NETWORK=true\.\n$/);
  } finally {
    await other.stop();
    await upstream.stop();
  }
});

it('batch-of-pictures.mjs prints what is wrong with a whole batch', async () => {
  const { code, said, complained } = await run('batch-of-pictures.mjs', ['--out', 'none', '--model', 'no-such-model']);
  expect(code).toBe(1);
  expect(said).toMatch(/^failed$|^failed: 0 of/m);
  expect(complained).toMatch(/^line 1: model_not_found: /m);
});

it('vercel-ai-sdk.mjs answers, streams and draws', async () => {
  const { code, said, complained } = await run('vercel-ai-sdk.mjs', ['--out', 'drawn.png']);
  expect([code, complained]).toEqual([0, '']);
  expect(said).toMatch(/^generateText: .{10,}\(\d+ tokens\)\nstreamText: .{10}(?:.|\n)*\ngenerateImage: image\/png, \d+ bytes, saved as drawn\.png\n$/);
  expect(await sharp(join(folder, 'drawn.png')).metadata()).toMatchObject({ format: 'png', width: 1024 });
});

it('webhook-receiver.mjs prints each event once, refuses what is not signed, and removes its endpoint', async () => {
  const port = await freePort();
  const { child, said, complained, ended } = start('webhook-receiver.mjs', ['--port', String(port)]);
  await expect.poll(said, { timeout: 20_000 }).toContain(`listening on http://127.0.0.1:${port}/`);
  const job = await fana.submit({ input: 'what is the capital of Peru?', type: 'chat' });
  await expect.poll(said, { timeout: 20_000 }).toContain(`job.completed ${job.id} completed (evt_`);

  const endpoints = (await (await fana.request('/v1/webhook_endpoints')).json()) as { data: { id: string }[] };
  expect(endpoints.data).toHaveLength(1);
  const deliveries = (await (await fana.request(`/v1/webhook_endpoints/${endpoints.data[0]?.id}/deliveries`)).json()) as { data: { id: string }[] };
  await fana.request(`/v1/webhook_deliveries/${deliveries.data[0]?.id}/redeliver`, { method: 'POST' });
  await expect.poll(said, { timeout: 20_000 }).toMatch(/^again evt_\w+: already taken$/m);

  const forged = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{"type":"job.completed","data":{"id":"job_forged"}}' });
  expect(forged.status).toBe(400);
  expect(complained()).toContain('refused: ');
  expect(said()).not.toContain('job_forged');

  child.kill('SIGINT');
  expect(await ended).toBe(0);
  expect(await (await fana.request('/v1/webhook_endpoints')).json()).toMatchObject({ data: [] });
});

it('curl.sh walks from a chat to the output file of a batch', async () => {
  const { code, said, complained } = await run('curl.sh');
  expect([code, complained]).toEqual([0, '']);
  const [, chat = '', streamed = '', picture = '', file = '', batch = '', polled = '', results = '', output = ''] = said.split(/^== .*\n/m);
  expect(JSON.parse(chat)).toMatchObject({ object: 'chat.completion' });
  expect(streamed).toMatch(/^data: \{(?:.|\n)*data: \[DONE\]/);
  expect((await fetch(JSON.parse(picture).data[0].url)).headers.get('content-type')).toBe('image/png');
  expect(file.trim()).toMatch(/^file_\w+$/);
  expect(batch.trim()).toMatch(/^batch_\w+$/);
  expect(polled.trim()).toMatch(/completed$/);
  expect(JSON.parse(results).data).toHaveLength(3);
  const lines = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ custom_id: id }) => id).sort()).toEqual(['fox-1', 'fox-2', 'fox-3']);
});

import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startAzurite, type TestAzurite } from '@fana/testkit/azurite.ts';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { answerImage, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { ADMIN_KEY, endProcess, type Installation, startInstallation } from './support/installation.ts';

let azurite: TestAzurite;
let upstream: FaultUpstream;
let fana: Installation;
let client: OpenAI;
/** Picture calls are answered once this is open. */
let gate: Promise<void> = Promise.resolve();

const prompts = (): string[] => upstream.bodies.map((body) => JSON.parse(body).prompt).sort();
const shut = (): (() => void) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  return resolve;
};
const kept = async (): Promise<number> => {
  const names = await readdir(join(fana.dataDir, 'aside'), { recursive: true }).catch(() => []);
  return names.filter((name) => /blob_[^/.]+$/.test(name)).length;
};

beforeAll(async () => {
  azurite = await startAzurite();
  upstream = await startFaultUpstream(async (_request, response) => {
    await gate;
    answerImage(response);
  });
  const env = { ...upstream.env, FANA_BLOB_STORE: 'azure', AZURE_STORAGE_CONNECTION_STRING: azurite.connectionString, AZURE_STORAGE_CONTAINER: 'e2e' };
  fana = await startInstallation({ env });
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
}, 60_000);
beforeEach(() => void upstream.bodies.splice(0));
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
  await azurite.stop();
});

describe('with a container of Azure Blob Storage', () => {
  it('pictures and files are in it, served by us and by links of its own', async () => {
    const job = await fana.ended((await fana.submit({ input: 'a fox', type: 'image' })).id);
    const [image] = job.output?.images ?? [];
    if (!image) throw new Error('no picture');
    const direct = await fetch(image.url);
    const bytes = Buffer.from(await direct.arrayBuffer());
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(image.sha256);
    const redirect = await fetch(`${image.url}&redirect=true`, { redirect: 'manual' });
    expect(redirect.status).toBe(302);
    const link = redirect.headers.get('location') ?? '';
    expect(link.startsWith(`http://127.0.0.1:${azurite.port}/`)).toBe(true);
    expect(redirect.headers.get('cache-control')).toBe('no-store');
    expect(Buffer.from(await (await fetch(link)).arrayBuffer())).toEqual(bytes);
    expect((await fetch(link.replace(/sig=[^&]+/, 'sig=AAAA'))).status).toBe(403);

    const lines = Buffer.from('{"a":1}\n'.repeat(1000));
    const file = await client.files.create({ file: await toFile(lines, 'lines.jsonl'), purpose: 'batch' });
    expect(Buffer.from(await (await client.files.content(file.id)).arrayBuffer())).toEqual(lines);
    expect(await readdir(join(fana.dataDir, 'blobs')).catch(() => [])).toEqual([]);
  });

  it('pictures that are made while it is away are kept aside, also when their worker dies, and each arrives without a second call', async () => {
    const open = shut();
    const names = ['one', 'two', 'three', 'four'];
    const jobs = await Promise.all(names.map((name) => fana.submit({ input: `a fox ${name}`, type: 'image' })));
    await expect.poll(prompts, { timeout: 10_000 }).toHaveLength(4);
    await azurite.kill();
    open();
    await expect.poll(kept, { timeout: 10_000 }).toBe(4);
    // Its result waits in the record; nobody holds it.
    await expect
      .poll(async () => (await Promise.all(jobs.map(({ id }) => fana.job(id)))).map(({ status }) => status), { timeout: 20_000 })
      .toEqual(Array(4).fill('queued'));
    // Another picture is not paid for now.
    const late = await fana.submit({ input: 'a fox late', type: 'image' });
    for (const worker of fana.workers) await endProcess(worker, 'SIGKILL');
    await fana.startWorker();
    expect((await fana.request('/readyz')).status).toBe(503);
    await azurite.restart();
    for (const { id } of [...jobs, late]) {
      const job = await fana.ended(id, 60_000);
      expect(job).toMatchObject({ status: 'completed', attempts: [{ outcome: 'completed' }] });
      expect(job.attempts).toHaveLength(1);
      const bytes = Buffer.from(await (await fetch(job.output?.images?.[0]?.url ?? '')).arrayBuffer());
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(job.output?.images?.[0]?.sha256);
    }
    expect(prompts()).toEqual([...names, 'late'].map((name) => `a fox ${name}`).sort());
    expect(await kept()).toBe(0);
  }, 120_000);

  it('the lines of a batch, too', async () => {
    const open = shut();
    const names = Array.from({ length: 6 }, (_, at) => `line ${at}`);
    const body = (prompt: string) => ({ model: 'gpt-image-2', prompt });
    const lines = names.map((name) => JSON.stringify({ custom_id: name, method: 'POST', url: '/v1/images/generations', body: body(name) }));
    const file = await client.files.create({ file: await toFile(Buffer.from(lines.join('\n')), 'lines.jsonl'), purpose: 'batch' });
    const { id } = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/images/generations', completion_window: '24h' });
    await expect.poll(prompts, { timeout: 15_000 }).toHaveLength(6);
    await azurite.kill();
    open();
    await expect.poll(kept, { timeout: 15_000 }).toBe(6);
    expect((await client.batches.retrieve(id)).status).toBe('in_progress');
    await azurite.restart();
    await expect.poll(async () => (await client.batches.retrieve(id)).status, { timeout: 60_000, interval: 200 }).toBe('completed');
    const { output_file_id: output, request_counts: counts } = await client.batches.retrieve(id);
    expect(counts).toEqual({ total: 6, completed: 6, failed: 0 });
    const results = (await (await client.files.content(output ?? '')).text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map(({ custom_id }) => custom_id).sort()).toEqual(names);
    for (const { response } of results) expect(response.body.data[0].b64_json).toMatch(/^iVBOR/);
    expect(prompts()).toEqual(names);
  }, 120_000);
});

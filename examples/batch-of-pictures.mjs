// Pictures by the hundred with OpenAI's Batch API and OpenAI's own package: upload the prompts, create the batch, watch it, save the
// pictures. Everything after `new OpenAI` is what a script written for OpenAI does; a batch may have 50,000 lines.
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import OpenAI from 'openai';
import { readSettings } from './settings.mjs';

const settings = readSettings(`
Makes a batch of pictures and saves them.

  node examples/batch-of-pictures.mjs [--out FOLDER] [--model MODEL] [PROMPTS.txt]

PROMPTS.txt has a prompt on each line (default: six foxes). FOLDER is "pictures", MODEL is "gpt-image-2".
`);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: 'pictures' }, model: { type: 'string', default: 'gpt-image-2' } },
});
const SIX = ['in the snow', 'on a bicycle', 'reading a map', 'under an umbrella', 'playing chess', 'at the sea'].map((where) => `a fox ${where}`);

const client = new OpenAI(settings);

/** @param {string[]} prompts */
const upload = async (prompts) => {
  const lines = prompts.map((prompt, n) => ({
    custom_id: `picture-${String(n + 1).padStart(5, '0')}`,
    method: 'POST',
    url: '/v1/images/generations',
    body: { model: values.model, prompt, size: '1024x1024' },
  }));
  const folder = await mkdtemp(join(tmpdir(), 'batch-'));
  try {
    const path = join(folder, 'requests.jsonl');
    await writeFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return await client.files.create({ file: createReadStream(path), purpose: 'batch' });
  } finally {
    await rm(folder, { recursive: true });
  }
};

/** Polls until the batch has ended, and says how far it is. @param {OpenAI.Batch} batch */
const watch = async (batch) => {
  let told = '';
  for (;;) {
    const { total = 0, completed = 0, failed = 0 } = batch.request_counts ?? {};
    const progress = total === 0 ? batch.status : `${batch.status}: ${completed} of ${total} made, ${failed} failed`;
    if (progress !== told) console.log(progress);
    told = progress;
    if (['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) return batch;
    await sleep(500);
    batch = await client.batches.retrieve(batch.id);
  }
};

/** The lines of an output or error file. @param {string | null | undefined} fileId */
const linesOf = async (fileId) => {
  if (!fileId) return [];
  const text = await (await client.files.content(fileId)).text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
};

/** The bytes of a picture, whichever way it came. @param {{ b64_json?: string, url?: string }} image */
const bytesOf = async ({ b64_json: base64, url = '' }) => (base64 ? Buffer.from(base64, 'base64') : Buffer.from(await (await fetch(url)).arrayBuffer()));

const [promptFile] = positionals;
const prompts = promptFile ? (await readFile(promptFile, 'utf8')).split(/\r?\n/).filter((prompt) => prompt.trim() !== '') : SIX;
const file = await upload(prompts);
const created = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/images/generations', completion_window: '24h' });
console.log(`${created.id}: ${prompts.length} prompts`);
const batch = await watch(created);

await mkdir(values.out, { recursive: true });
for (const { custom_id: name, response } of await linesOf(batch.output_file_id)) {
  const path = join(values.out, `${name}.png`);
  await writeFile(path, await bytesOf(response.body.data[0]));
  console.log(`saved ${path}`);
}
for (const { custom_id: name, response, error } of await linesOf(batch.error_file_id)) {
  const { code, message } = error ?? response.body.error;
  console.error(`failed ${name}: ${code}: ${message}`);
}
for (const { line, code, message } of batch.errors?.data ?? []) console.error(`line ${line}: ${code}: ${message}`);
process.exitCode = batch.status === 'completed' && batch.request_counts?.failed === 0 ? 0 : 1;

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { expect, it } from 'vitest';
import { loadConfig, SETTINGS } from '../../packages/core/src/config.ts';
import { ROOT } from '../node-binary.mjs';

const text = readFileSync(join(ROOT, '.env.example'), 'utf8');
const lines = [...text.matchAll(/^# ([A-Z][A-Z0-9_]*)=(.*)$/gm)];
const SECRETS = { REDIS_URL: 'redis://127.0.0.1:6379', FANA_ADMIN_KEY: 'k'.repeat(32), FANA_SIGNING_SECRET: 's'.repeat(32) };

it('lists exactly the settings that are read, each once', () => {
  expect(lines.map(([, name]) => name).sort()).toEqual([...SETTINGS].sort());
});

it('sets nothing until a line is uncommented', () => {
  expect(parseEnv(text)).toEqual({});
});

it('holds only values that are accepted', () => {
  const uncommented = parseEnv(lines.map(([, name, value]) => `${name}=${value}`).join('\n'));
  expect(() => loadConfig({ ...uncommented, ...SECRETS })).not.toThrow();
});

it('takes every queue name of the contract, `all`, and a name twice; serves those that are built', () => {
  const queues = (list: string) => loadConfig({ ...SECRETS, FANA_WORKER_QUEUES: list }).worker.queues;
  const built = ['chat', 'image', 'vision', 'embedding', 'ingest', 'batch', 'webhook'];
  expect(queues('chat,image,vision,embedding,ingest,batch,webhook')).toEqual(built);
  expect(queues('all')).toEqual(built);
  expect(queues('webhook, chat,chat')).toEqual(['chat', 'webhook']);
  expect(queues('ingest')).toEqual(['ingest']);
  expect(() => queues('chat,nonsense')).toThrow('FANA_WORKER_QUEUES');
  expect(() => queues(' , ')).toThrow('FANA_WORKER_QUEUES');
});

it('asks for an account of Azure by the names of its settings, and never shows a value', () => {
  const azure = (env: Record<string, string>) => loadConfig({ ...SECRETS, FANA_BLOB_STORE: 'azure', ...env }).blobs.azure;
  expect(() => azure({})).toThrow('AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT is required');
  expect(() => azure({ AZURE_STORAGE_CONNECTION_STRING: 'my secret' })).toThrow(/^(?!.*my secret)[\s\S]*AZURE_STORAGE_CONNECTION_STRING must be/);
  expect(() => azure({ AZURE_STORAGE_ACCOUNT: 'Not-A-Name' })).toThrow('AZURE_STORAGE_ACCOUNT must be');
  for (const name of ['ab', 'Upper', 'two--hyphens', '-first', 'last-']) {
    expect(() => azure({ AZURE_STORAGE_ACCOUNT: 'fanastore', AZURE_STORAGE_CONTAINER: name })).toThrow('AZURE_STORAGE_CONTAINER must be');
  }
  expect(azure({ AZURE_STORAGE_ACCOUNT: 'fanastore' })).toEqual({ account: { name: 'fanastore' }, container: 'fana' });
  const connectionString = 'UseDevelopmentStorage=true';
  const both = { AZURE_STORAGE_ACCOUNT: 'fanastore', AZURE_STORAGE_CONNECTION_STRING: connectionString, AZURE_STORAGE_CONTAINER: 'own' };
  expect(azure(both)).toEqual({ account: { connectionString }, container: 'own' });
  expect(loadConfig({ ...SECRETS, AZURE_STORAGE_ACCOUNT: 'fanastore' }).blobs.azure).toBeUndefined();
});

it('shows the real defaults', () => {
  // An example there, not a default: unset means what the host and port give, or the vendor's own address.
  const examples = ['FANA_PUBLIC_URL', 'GROQ_BASE_URL', 'OPENAI_BASE_URL', 'ANTHROPIC_BASE_URL', 'FANA_PROVIDER_LIMITS'];
  const shown = lines.filter(([, name]) => !examples.includes(name ?? '')).map(([, name, value]) => `${name}=${value}`);
  expect(loadConfig({ ...parseEnv(shown.join('\n')), ...SECRETS })).toEqual(loadConfig(SECRETS));
});

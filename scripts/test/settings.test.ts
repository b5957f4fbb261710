import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { withEnvFile } from '../settings.mjs';

const folder = mkdtempSync(join(tmpdir(), 'fana-env-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('adds what the file sets; what is set already wins, even when it is empty', () => {
  const path = join(folder, '.env');
  writeFileSync(path, '# a comment\nPORT=4000\nHOST="0.0.0.0"\nOPENAI_API_KEY=from-file\n');
  expect(withEnvFile(path, { PORT: '5000', OPENAI_API_KEY: '' })).toEqual({ PORT: '5000', HOST: '0.0.0.0', OPENAI_API_KEY: '' });
});

it('changes nothing without a file', () => {
  expect(withEnvFile(join(folder, 'none'), { PORT: '5000' })).toEqual({ PORT: '5000' });
});

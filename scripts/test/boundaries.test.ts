import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN, ROOT, withBin } from '../node-binary.mjs';

/** The samples in `fixtures` lie at the paths whose rules they break; `npm run check` does not look at them there. */
const SAMPLES: [file: string, rules: string[]][] = [
  ['packages/core/src/jobs/cycle-a.ts', ['lint/suspicious/noImportCycles']],
  ['packages/core/src/jobs/floating-promise.ts', ['lint/nursery/noFloatingPromises']],
  ['packages/core/src/jobs/any.ts', ['lint/suspicious/noExplicitAny']],
  ['packages/core/src/jobs/reads-environment.ts', ['lint/style/noProcessEnv']],
  ['packages/core/src/jobs/fetches.ts', ['lint/style/noRestrictedGlobals']],
  ['packages/core/src/jobs/imports-undici.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/jobs/imports-azure.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/blobs/azure.ts', []],
  ['packages/core/src/jobs/imports-hono.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/jobs/imports-node-http.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/jobs/imports-app.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/jobs/imports-testkit.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/jobs/makes-queue.ts', ['lint/style/noRestrictedImports']],
  // One each: the Worker in queues.ts, hono in a provider, the Queue in a worker. What stands beside it is allowed there.
  ['packages/core/src/queues.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/providers/imports-hono.ts', ['lint/style/noRestrictedImports']],
  ['apps/worker/src/makes-queue.ts', ['lint/style/noRestrictedImports']],
  ['apps/api/src/imports-worker.ts', ['lint/style/noRestrictedImports']],
  ['apps/api/src/imports-bullmq.ts', ['lint/style/noRestrictedImports']],
  ['apps/worker/src/imports-api.ts', ['lint/style/noRestrictedImports']],
  ['apps/worker/src/imports-hono.ts', ['lint/style/noRestrictedImports']],
  ['packages/core/src/jobs/good.ts', []],
];

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fana-boundaries-'));
  cpSync(join(ROOT, 'scripts/test/fixtures'), folder, { recursive: true });
  for (const file of ['biome.json', '.gitignore', 'tsconfig.base.json']) cpSync(join(ROOT, file), join(folder, file));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (tool: string, args: string[]) => spawnSync(join(BIN, tool), args, { cwd: folder, env: withBin(), encoding: 'utf8' });

/** The rules Biome names for one file, once per finding. */
const findings = (file: string): string[] => {
  const { stdout } = run('biome', ['check', '--reporter=json', file]);
  const report: { diagnostics: { category: string }[] } = JSON.parse(stdout);
  return report.diagnostics.map(({ category }) => category).sort();
};

describe('npm run check refuses what the house forbids', () => {
  it.each(SAMPLES)('%s', (file, rules) => {
    expect(findings(file)).toEqual(rules);
  });

  it('ends with an error on a folder that holds such a file', () => {
    expect(run('biome', ['check', 'apps/api/src']).status).toBe(1);
  });

  it('a wrong type', () => {
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: './tsconfig.base.json', files: ['packages/core/src/jobs/wrong-type.ts'] }));
    const { status, stdout } = run('tsc', ['-b']);
    expect(stdout).toContain('TS2322');
    expect(status).not.toBe(0);
  });
});

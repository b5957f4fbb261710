import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accept } from './accept.ts';
import { batch } from './batch.ts';
import type { Figure } from './figure.ts';
import { pacing } from './pacing.ts';
import { processSuite } from './process.ts';
import { retrieval } from './retrieval.ts';
import { sessions } from './sessions.ts';
import { trigger } from './trigger.ts';

const SUITES: Record<string, () => Promise<Figure[]>> = { trigger, accept, process: processSuite, pacing, batch, sessions, retrieval };
const RESULTS = join(import.meta.dirname, '../results');

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !(name in SUITES));
if (unknown !== undefined) {
  console.error(`There is no suite ${unknown}. Suites: ${Object.keys(SUITES).join(', ')}.`);
  process.exit(2);
}

const figures: Figure[] = [];
for (const name of asked.length > 0 ? asked : Object.keys(SUITES)) {
  console.error(`Measuring ${name} …`);
  figures.push(...((await SUITES[name]?.()) ?? []));
}
console.table(
  figures.map(({ suite, figure, ours, baseline, unit, ratio, reach, met }) => ({
    suite,
    figure,
    ours,
    baseline,
    unit,
    ratio,
    reach: reach ?? '',
    met: met ?? '',
  })),
);
mkdirSync(RESULTS, { recursive: true });
writeFileSync(join(RESULTS, 'latest.json'), `${JSON.stringify(figures, undefined, 2)}\n`);
// A figure that was not reached is a finding, not a failure of the command: it stands in the table and in the file.
process.exit(0);

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { evaluateLines, parseLabelledLines } from './evaluate.ts';

const good = '{"id":"d1","lang":"en","text":"draw a cat","has_image":false,"label":"image","kind":"short","note":"extra"}';
const command = new URL('./evaluate.ts', import.meta.url).pathname;

const folder = mkdtempSync(join(tmpdir(), 'fana-evaluate-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function writeLines(content: string): string {
  const file = join(folder, `lines-${++count}.jsonl`);
  writeFileSync(file, content);
  return file;
}

it('prints one JSON line with a tally for all, each language, kind and label', () => {
  const file = writeLines(`${good}\n{"id":"d2","lang":"de","text":"?","has_image":true,"label":"vision","kind":"short"}\n`);
  const output = execFileSync(process.execPath, [command, file], { encoding: 'utf8' });
  expect(output.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse(output)).toEqual({
    n: 2,
    accuracy: 1,
    by_lang: { en: { n: 1, accuracy: 1 }, de: { n: 1, accuracy: 1 } },
    by_kind: { short: { n: 2, accuracy: 1 } },
    by_label: { image: { n: 1, accuracy: 1 }, vision: { n: 1, accuracy: 1 } },
    p50_us: expect.any(Number),
    p99_us: expect.any(Number),
  });
});

it('measures times that a message can be labelled in', () => {
  const { p50_us: p50, p99_us: p99 } = evaluateLines(parseLabelledLines(good, 'x'));
  expect(p50).toBeGreaterThan(0);
  expect(p99).toBeGreaterThanOrEqual(p50);
});

it.each([
  ['{"text":"a"', 'x:1: not JSON'],
  [`${good}\n\n[]`, 'x:3: "text" is not a string'],
  [`${good}\nnull`, 'x:2: not an object'],
  ['{"text":"a","label":"picture"}', 'x:1: "label" is not chat, image or vision'],
  ['{"text":"a","label":"chat","has_image":"yes"}', 'x:1: "has_image" is not true or false'],
  ['\n', 'x: no labelled line in it'],
])('refuses %j and names the line', (content, message) => {
  expect(() => parseLabelledLines(content, 'x')).toThrow(message);
});

it.each([
  [['/no/such/file.jsonl'], 'cannot read /no/such/file.jsonl: ENOENT'],
  [[], 'usage:'],
  [[writeLines('nonsense')], ':1: not JSON'],
])('ends with status 1 and one plain line for %j', (files, message) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...files], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toContain(message);
  expect(stderr.trim().split('\n')).toHaveLength(1);
});

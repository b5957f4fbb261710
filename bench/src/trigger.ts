import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { classify } from '@fana/core/triggers/classify.ts';
import { getLIDModel } from 'fasttext.wasm.js';
import { type Figure, pairedFigure } from './figure.ts';

const ROUNDS = 9;
const REPEATS = 20;

type Line = { text: string; has_image: boolean };
const LINES = join(import.meta.dirname, '../../packages/core/src/triggers/training/dev.jsonl');

const perSecond = (lines: Line[], label: (line: Line) => unknown): number => {
  const startedAt = performance.now();
  for (let repeat = 0; repeat < REPEATS; repeat++) for (const line of lines) label(line);
  return (lines.length * REPEATS) / ((performance.now() - startedAt) / 1000);
};

/** Messages labelled per second, against fasttext.wasm.js detecting the language of the same lines, on one core. */
export const trigger = async (): Promise<Figure[]> => {
  const detector = await (await getLIDModel()).load();
  const lines: Line[] = readFileSync(LINES, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const ours = (): number => perSecond(lines, ({ text, has_image }) => classify({ text, hasImage: has_image }));
  const baseline = (): number =>
    perSecond(lines, ({ text }) => {
      const found = detector.predict(text, 1, 0);
      found.delete();
    });
  ours();
  baseline();
  const rounds = Array.from({ length: ROUNDS }, () => ({ baseline: baseline(), ours: ours() }));
  return [pairedFigure('trigger', 'messages labelled', 'lines/s', rounds, { atLeast: 1 })];
};

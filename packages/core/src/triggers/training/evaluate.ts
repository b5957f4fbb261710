/** `npm run eval:trigger -- FILE.jsonl`: scores the shipped classifier on a labelled file and prints one JSON line. */
import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { classify, loadTriggerModel, type Message } from '../classify.ts';
import type { TriggerLabel } from '../label.ts';
import { isLabel } from './examples.ts';
import { Tallies, type Tally } from './tally.ts';

/** One line of the file; what else the line holds is left alone. */
export type LabelledLine = Message & { lang: string; label: TriggerLabel; kind: string };

/** The one JSON line that the command prints. */
export type Evaluation = Tally & {
  by_lang: Record<string, Tally>;
  by_kind: Record<string, Tally>;
  by_label: Record<string, Tally>;
  p50_us: number;
  p99_us: number;
};

const TIMED_ROUNDS = 20;
const MIN_TIMED = 20_000;

function parseLine(line: string, place: string): LabelledLine {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    throw new Error(`${place}: not JSON`);
  }
  if (typeof record !== 'object' || record === null) throw new Error(`${place}: not an object`);
  const { text, has_image: hasImage = false, label, lang = 'und', kind = 'unknown' } = record as Record<string, unknown>;
  if (typeof text !== 'string') throw new Error(`${place}: "text" is not a string`);
  if (typeof hasImage !== 'boolean') throw new Error(`${place}: "has_image" is not true or false`);
  if (!isLabel(label)) throw new Error(`${place}: "label" is not chat, image or vision`);
  return { text, hasImage, label, lang: String(lang), kind: String(kind) };
}

/** Reads a labelled JSONL text; blank lines are skipped. Throws an error that names the line. */
export function parseLabelledLines(content: string, name: string): LabelledLine[] {
  const lines = content
    .replace(/^\ufeff/, '')
    .split('\n')
    .flatMap((line, index) => (line.trim() === '' ? [] : [parseLine(line, `${name}:${index + 1}`)]));
  if (lines.length === 0) throw new Error(`${name}: no labelled line in it`);
  return lines;
}

/** Microseconds of each single call, after enough calls for the code to be compiled. */
function timeCalls(lines: readonly LabelledLine[]): Float64Array {
  for (let done = 0; done < MIN_TIMED; done += lines.length) for (const line of lines) classify(line);
  const rounds = Math.max(1, Math.min(TIMED_ROUNDS, Math.ceil(MIN_TIMED / lines.length)));
  const times = new Float64Array(rounds * lines.length);
  let at = 0;
  for (let round = 0; round < rounds; round++) {
    for (const line of lines) {
      const start = performance.now();
      classify(line);
      times[at++] = (performance.now() - start) * 1000;
    }
  }
  return times.sort();
}

/** Labels every line and says how well and how fast. */
export function evaluateLines(lines: readonly LabelledLine[]): Evaluation {
  loadTriggerModel();
  const [total, byLang, byKind, byLabel] = [new Tallies(), new Tallies(), new Tallies(), new Tallies()];
  for (const line of lines) {
    const isRight = classify(line).label === line.label;
    total.add('all', isRight);
    byLang.add(line.lang, isRight);
    byKind.add(line.kind, isRight);
    byLabel.add(line.label, isRight);
  }
  const times = timeCalls(lines);
  const percentile = (share: number): number => Number((times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(2));
  const all = total.toRecord()['all'] ?? { n: 0, accuracy: 0 };
  return {
    ...all,
    by_lang: byLang.toRecord(),
    by_kind: byKind.toRecord(),
    by_label: byLabel.toRecord(),
    p50_us: percentile(0.5),
    p99_us: percentile(0.99),
  };
}

/** `npm run` may start us in another folder than the caller's: npm keeps that one in INIT_CWD. */
function readInput(file: string): string {
  const path = isAbsolute(file) ? file : resolve(process.env['INIT_CWD'] ?? process.cwd(), file);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'error'}`);
  }
}

function main(file: string | undefined): void {
  try {
    if (file === undefined) throw new Error('usage: npm run eval:trigger -- FILE.jsonl');
    console.log(JSON.stringify(evaluateLines(parseLabelledLines(readInput(file), file))));
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}

if (import.meta.main) main(process.argv[2]);

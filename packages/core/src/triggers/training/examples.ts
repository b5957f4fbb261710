import { readdirSync, readFileSync } from 'node:fs';
import type { TriggerLabel } from '../label.ts';

/** One labelled message; `origin` says how much it is like what users write, and so how much it weighs. */
export type Example = {
  lang: string;
  text: string;
  hasImage: boolean;
  label: TriggerLabel;
  kind: string;
  origin: 'dev' | 'hand' | 'grammar';
};

const labels = new Set<string>(['chat', 'image', 'vision']);
const here = new URL('./', import.meta.url);

/** True for a name of one of the three labels. */
export function isLabel(value: unknown): value is TriggerLabel {
  return typeof value === 'string' && labels.has(value);
}

/** Reads one row of a `.tsv` file. Throws with the place when it is not `label kind has_image text`. */
export function parseRow(row: string, lang: string, place: string): Example {
  const [label, kind, flag, text] = row.split('\t');
  if (!isLabel(label) || kind === undefined || (flag !== '0' && flag !== '1') || text === undefined) {
    throw new Error(`${place}: not "label<TAB>kind<TAB>0|1<TAB>text"`);
  }
  return { lang, label, kind, hasImage: flag === '1', text: text.replaceAll('\\n', '\n'), origin: 'hand' };
}

/** The training files with their rows, those of grammars or the hand-written ones; the language is the first two-letter part of the name. */
export function trainingFiles(isGrammar: boolean, folder = here): { name: string; lang: string; rows: string[] }[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.tsv') && name.includes('.grammar.') === isGrammar);
  return names.sort().map((name) => ({
    name,
    lang: /(?:^|\.)([a-z]{2})\./.exec(name)?.[1] ?? 'und',
    rows: readFileSync(new URL(name, folder), 'utf8')
      .split('\n')
      .filter((row) => row.trim() !== ''),
  }));
}

/** Every hand-written line of our own: `<lang>.tsv` and `extra.<lang>.tsv`. */
export function readHandWritten(folder = here): Example[] {
  return trainingFiles(false, folder).flatMap(({ name, lang, rows }) => rows.map((row, index) => parseRow(row, lang, `${name}:${index + 1}`)));
}

/** The 780 labelled lines we measure on. */
export function readDev(): Example[] {
  const lines = readFileSync(new URL('dev.jsonl', here), 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => {
    const { lang, text, has_image: hasImage, label, kind } = JSON.parse(line);
    return { lang, text, hasImage, label, kind, origin: 'dev' };
  });
}

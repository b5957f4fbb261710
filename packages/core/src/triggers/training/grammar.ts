import { type Example, parseRow, trainingFiles } from './examples.ts';
import { seededRandom } from './random.ts';

type Grammar = { lang: string; slots: Map<string, string[]>; templates: Example[] };

function readGrammar(name: string, lang: string, rows: string[]): Grammar {
  const grammar: Grammar = { lang, slots: new Map(), templates: [] };
  rows.forEach((row, index) => {
    if (!row.startsWith('@')) {
      grammar.templates.push(parseRow(row, lang, `${name}:${index + 1}`));
      return;
    }
    const [slot, filler] = row.slice(1).split('\t');
    if (slot === undefined || filler === undefined) throw new Error(`${name}:${index + 1}: not "@slot<TAB>filler"`);
    grammar.slots.set(slot, [...(grammar.slots.get(slot) ?? []), filler]);
  });
  return grammar;
}

function fillTemplate(grammar: Grammar, template: Example, random: () => number): Example | undefined {
  let isComplete = true;
  const text = template.text.replaceAll(/\{(\w+)\}/g, (whole, slot: string) => {
    const fillers = grammar.slots.get(slot);
    if (fillers === undefined) isComplete = false;
    return fillers?.[Math.floor(random() * fillers.length)] ?? whole;
  });
  return isComplete ? { ...template, text, origin: 'grammar' } : undefined;
}

/**
 * Fills every template of every `<lang>.grammar.tsv` with random fillers, `perTemplate` times (equal results count once).
 * A template that names an unknown slot is code with braces, or a slip: it is left out.
 */
export function expandGrammars(perTemplate: number, seed: number, folder?: URL): Example[] {
  const random = seededRandom(seed);
  const found = new Map<string, Example>();
  for (const { name, lang, rows } of trainingFiles(true, folder)) {
    const grammar = readGrammar(name, lang, rows);
    for (const template of grammar.templates) {
      for (let round = 0; round < perTemplate; round++) {
        const example = fillTemplate(grammar, template, random);
        if (example !== undefined) found.set(`${example.hasImage}\t${example.text}`, example);
      }
    }
  }
  return [...found.values()];
}

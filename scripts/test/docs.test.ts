import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../node-binary.mjs';

const files = globSync(['*', '{apps,packages,scripts,e2e,bench,docs,examples}/**/*'], {
  cwd: ROOT,
  exclude: ['**/node_modules/**', '**/dist/**', '**/.tsc/**'],
});
const DOCS = files.filter((file) => file.endsWith('.md') && !file.startsWith('node_modules'));
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** What the first group of `pattern` finds in a text, each once. */
const found = (text: string, pattern: RegExp): string[] => [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))];

/** One part of a document: from its heading to the next. */
const section = (file: string, heading: string): string =>
  read(file)
    .split(/^## /m)
    .find((part) => part.startsWith(`${heading}\n`)) ?? '';

describe('README.md', () => {
  it.each([
    ['job', 9],
    ['batch', 5],
  ])('walks a %s through files that exist, in the order of its numbers', (what, atLeast) => {
    const steps = [...section('README.md', `The path of one ${what}`).matchAll(/^ ?(\d+) (\S+)/gm)];
    expect(steps.map(([, number]) => Number(number))).toEqual(steps.map((_, at) => at + 1));
    expect(steps.length).toBeGreaterThanOrEqual(atLeast);
    expect(steps.map(([, , path = '']) => path).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('maps places that exist, and every folder of the workspace', () => {
    const places = found(section('README.md', 'The map'), /^\| `([^`]+)`/gm);
    expect(places.filter((place) => !existsSync(join(ROOT, place)))).toEqual([]);
    expect(places).toEqual(
      expect.arrayContaining(globSync(['{apps,packages}/*/package.json', '{e2e,bench,examples}/package.json'], { cwd: ROOT }).map(dirname)),
    );
  });
});

describe('every document', () => {
  it.each(DOCS)('%s names only files that exist', (doc) => {
    const named = found(read(doc), /(?<![\w<>*…/.])(?:\.\.?\/)*([\w-][\w.-]*(?:\/[\w.-]+)*\.(?:ts|mjs|lua|json|yml|md))\b/g);
    expect(named.filter((name) => !files.some((file) => file === name || file.endsWith(`/${name}`)))).toEqual([]);
  });

  it.each(DOCS)('%s links only to what exists', (doc) => {
    const targets = found(read(doc), /\]\((?!https?:)([^)#]+)/g);
    expect(targets.filter((target) => !existsSync(join(ROOT, dirname(doc), target)))).toEqual([]);
  });

  it.each(DOCS)('%s names only commands that exist', (doc) => {
    const { scripts } = JSON.parse(read('package.json'));
    expect(found(read(doc), /(?:`|^)npm (?:run )?([a-z]+(?::[a-z]+)?)/gm).filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('ARCHITECTURE.md', () => {
  it('names every key of Redis, and none that nobody writes', () => {
    const sources = files.filter((file) => /^(apps|packages\/core)\/.*src\/.*\.(ts|lua)$/.test(file) && !file.endsWith('.test.ts')).map(read);
    // `fana:job:${id}`, 'fana:rpm:' .. key_id, 'fana:due': the first word after `fana:` is the family.
    const used = new Set(sources.flatMap((source) => found(source, /fana:([a-z]+(?:-[a-z]+)*)/g)));
    const described = new Set(found(section('ARCHITECTURE.md', 'What Redis holds'), /fana:([a-z]+(?:-[a-z]+)*)/g));
    expect([...described].sort()).toEqual([...used].sort());
  });
});

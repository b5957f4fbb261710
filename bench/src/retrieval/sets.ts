import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Page, readManPage } from './man-page.ts';

/** A question and the one document that answers it. */
type Labelled = { name: string; query: string; text: string };
export type RetrievalSet = { name: string; documents: Labelled[] };

/** Of a document: the beginning, where it says what it is about. Both halves and the hybrid see the same. */
const MAX_CHARS = 1600;
const MIN_CHARS = 300;

/** Debian packages whose manual pages are the first set; `apt-get download` gives them to anybody. */
const MAN_PACKAGES = ['coreutils', 'util-linux', 'procps', 'psmisc', 'iproute2', 'e2fsprogs', 'findutils', 'git-man', 'binutils-common', 'passwd'];

const ROOT = join(import.meta.dirname, '../../..');

const normal = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** Every `step`-th, so that a set is not the pages of one package. */
const thin = <T>(all: T[], most: number): T[] => all.filter((_, at) => Math.floor((at * most) / all.length) !== Math.floor(((at - 1) * most) / all.length));

const isAlias = (source: string): boolean => /^\.so\s/m.test(source.slice(0, 2000));

/** Manual pages of commands: the query is the one-line description, which the text is without. */
export const manPages = (most: number): RetrievalSet => {
  const folder = mkdtempSync(join(tmpdir(), 'fana-man-'));
  try {
    execFileSync('apt-get', ['download', ...MAN_PACKAGES], { cwd: folder, stdio: 'ignore' });
    const unpacked = join(folder, 'files');
    mkdirSync(unpacked);
    for (const archive of globSync('*.deb', { cwd: folder })) execFileSync('dpkg-deb', ['-x', join(folder, archive), unpacked]);
    const found = globSync('usr/share/man/man[18]/*.gz', { cwd: unpacked }).sort();
    const pages = found.flatMap((path): Labelled[] => {
      const source = gunzipSync(readFileSync(join(unpacked, path))).toString();
      const page: Page | undefined = isAlias(source) ? undefined : readManPage(source);
      if (!page || page.text.length < MIN_CHARS || page.description.split(' ').length < 3) return [];
      return [{ name: basename(path, '.gz'), query: page.description, text: page.text.slice(0, MAX_CHARS) }];
    });
    return { name: 'manual pages', documents: thin(unique(pages), most) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Two documents with the same question would each be wrong for the other. */
const unique = (documents: Labelled[]): Labelled[] => {
  const seen = new Set<string>();
  return documents.filter(({ query }) => {
    const key = normal(query);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
};

/** A text without the sentence that is the query: lines that hold it are left out. */
const without = (text: string, query: string): string => {
  const wanted = normal(query);
  return text
    .split('\n')
    .filter((line) => !normal(line).includes(wanted))
    .join('\n');
};

/** READMEs of the packages that the lockfile pins: the query is the `description` of package.json, which the text is without. */
export const readmes = (most: number): RetrievalSet => {
  const found = globSync('node_modules/.pnpm/*/node_modules/{*,@*/*}/package.json', { cwd: ROOT }).sort();
  const documents = found.flatMap((path): Labelled[] => {
    const readme = join(ROOT, path.replace(/package\.json$/, 'README.md'));
    if (!existsSync(readme)) return [];
    const { name, description } = JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as { name?: string; description?: string };
    if (!name || !description || description.split(' ').length < 4) return [];
    const text = without(readFileSync(readme, 'utf8'), description).slice(0, MAX_CHARS);
    return text.length < MIN_CHARS ? [] : [{ name, query: description, text }];
  });
  const seen = new Set<string>();
  const once = documents.filter(({ name }) => !seen.has(name) && seen.add(name));
  return { name: 'READMEs', documents: thin(unique(once), most) };
};

import { type DomElement, type DomNode, ELEMENT, TEXT } from './dom.ts';
import { tidyText } from './tidy-text.ts';

const HEADING = /^H([1-6])$/;
const BLOCKS = new Set(
  'ADDRESS ARTICLE ASIDE BLOCKQUOTE BODY CAPTION CENTER DETAILS DIALOG DIV DL FIELDSET FIGCAPTION FIGURE FOOTER FORM HEADER HR HTML MAIN NAV P PRE SECTION SUMMARY TABLE'.split(
    ' ',
  ),
);
const MAX_INDENT = 8;
const MAX_COLUMNS = 100;

/** What an element adds around its text; `lines`: how many line ends stand before and after it at least. */
type Marks = { before?: string; after?: string; lines?: number };

/** Where the walk is: inside `<pre>` white space stands, inside a cell nothing ends the line. */
type Place = { pre: number; cells: number; lists: { isOrdered: boolean; count: number }[] };

const itemMark = (place: Place): string => {
  const list = place.lists.at(-1);
  if (!list) return '- ';
  list.count++;
  return `${'  '.repeat(Math.min(place.lists.length - 1, MAX_INDENT))}${list.isOrdered ? `${list.count}.` : '-'} `;
};

/** Of the first row of a table: the line of hyphens under it makes it one in Markdown. */
const rowEnd = (row: DomElement): string => {
  const group = row.parentElement?.tagName === 'TABLE' ? row : row.parentElement;
  const isFirst = !row.previousElementSibling && !group?.previousElementSibling;
  return isFirst ? `|\n|${' --- |'.repeat(Math.min(row.children.length, MAX_COLUMNS))}` : '|';
};

/** What stays inside its line. */
const inlineMarks = (element: DomElement, place: Place): Marks => {
  const { tagName } = element;
  if (tagName === 'BR') return place.cells > 0 ? { before: ' ' } : { before: '\n' };
  if (tagName === 'IMG') return { before: element.getAttribute('alt') ?? '' };
  if (tagName === 'TD' || tagName === 'TH') return { before: '| ', after: ' ' };
  if (tagName === 'CODE' && place.pre === 0) return { before: '`', after: '`' };
  return place.cells > 0 && (BLOCKS.has(tagName) || tagName === 'LI') ? { before: ' ', after: ' ' } : {};
};

const marksOf = (element: DomElement, place: Place): Marks => {
  const { tagName } = element;
  if (place.cells > 0) return inlineMarks(element, place);
  const heading = HEADING.exec(tagName);
  if (heading) return { lines: 2, before: `${'#'.repeat(Number(heading[1]))} ` };
  if (tagName === 'TR') return { lines: 1, after: rowEnd(element) };
  if (tagName === 'PRE') return { lines: 2, before: '```\n', after: '\n```' };
  if (tagName === 'LI') return { lines: 1, before: itemMark(place) };
  if (tagName === 'DT' || tagName === 'DD') return { lines: 1 };
  if (tagName === 'UL' || tagName === 'OL') return { lines: place.lists.length > 1 ? 1 : 2 };
  return BLOCKS.has(tagName) ? { lines: 2 } : inlineMarks(element, place);
};

/** Notes that the walk enters an element (`step` 1) or leaves it (-1). */
const move = (place: Place, tagName: string, step: 1 | -1): void => {
  if (tagName === 'PRE') place.pre += step;
  if (tagName === 'TD' || tagName === 'TH') place.cells += step;
  if (tagName !== 'UL' && tagName !== 'OL') return;
  if (step === 1) place.lists.push({ isOrdered: tagName === 'OL', count: 0 });
  else place.lists.pop();
};

/** Collects text; line ends that are asked for before and behind each other are one. */
const createWriter = () => {
  const out: string[] = [];
  let lines = 0;
  let isFresh = true;
  return {
    breakLines: (count: number): void => {
      lines = Math.max(lines, count);
    },
    write(text: string): void {
      if (text === '') return;
      if (lines > 0 && !isFresh) out.push('\n'.repeat(lines));
      lines = 0;
      isFresh = false;
      out.push(text);
    },
    /** White space between two blocks is none. */
    isAtLineStart: (): boolean => isFresh || lines > 0,
    text: (): string => tidyText(out.join('')),
  };
};

const textOf = (node: DomNode, place: Place, isAtLineStart: boolean): string => {
  const text = node.nodeValue ?? '';
  if (place.pre > 0 && place.cells === 0) return text;
  const flat = text.replace(/\s+/g, ' ');
  const flush = isAtLineStart ? flat.trimStart() : flat;
  return place.cells > 0 ? flush.replaceAll('|', '\\|') : flush;
};

/**
 * An element's text as Markdown: headings, paragraphs, lists, tables and code keep their structure; links and pictures are their words.
 * Walks without recursion: the depth of a page is not ours to choose.
 */
export const documentToText = (root: DomElement): string => {
  const place: Place = { pre: 0, cells: 0, lists: [] };
  const writer = createWriter();
  const opened: { element: DomElement; marks: Marks }[] = [];
  const enter = (element: DomElement): void => {
    move(place, element.tagName, 1);
    // A cell's own mark belongs to the row.
    const marks = /^T[DH]$/.test(element.tagName) ? inlineMarks(element, place) : marksOf(element, place);
    writer.breakLines(marks.lines ?? 0);
    writer.write(marks.before ?? '');
    opened.push({ element, marks });
  };
  const leave = (): void => {
    const { element, marks } = opened.pop() as { element: DomElement; marks: Marks };
    writer.write(marks.after ?? '');
    writer.breakLines(marks.lines ?? 0);
    move(place, element.tagName, -1);
  };
  let node: DomNode | null = root;
  while (node) {
    if (node.nodeType === ELEMENT) enter(node as DomElement);
    else if (node.nodeType === TEXT) writer.write(textOf(node, place, writer.isAtLineStart()));
    let next: DomNode | null = node.nodeType === ELEMENT ? node.firstChild : null;
    while (!next && node) {
      if (opened.at(-1)?.element === node) leave();
      if (node === root) return writer.text();
      next = node.nextSibling;
      if (!next) node = node.parentNode;
    }
    node = next;
  }
  return writer.text();
};

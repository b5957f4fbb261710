import { tidyText } from './tidy-text.ts';

/** A piece of a line as pdf.js gives it: its letters are in reading order, `transform[4]` is its left edge, `height` that of its letters. */
export type PdfItem = { str: string; hasEOL: boolean; transform: number[]; width: number; height: number };

/** A gap of this part of the height of letters is a space. */
const SPACE_SHARE = 0.15;

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}]/gu;
const LETTER = /\p{L}/gu;

const count = (items: PdfItem[], what: RegExp): number => items.reduce((sum, { str }) => sum + (str.match(what)?.length ?? 0), 0);
const isRightToLeft = (items: PdfItem[]): boolean => {
  const rightToLeft = count(items, RIGHT_TO_LEFT);
  return rightToLeft > 0 && rightToLeft * 2 > count(items, LETTER);
};
const left = ({ transform }: PdfItem): number => transform[4] ?? 0;

/**
 * The pieces of a line of Arabic or Hebrew in reading order. Programs write them into a PDF from either side; where they stand is sure. Words of
 * other letters among them are read from the left.
 */
const inReadingOrder = (items: PdfItem[]): PdfItem[] => {
  const ordered: PdfItem[] = [];
  let run: PdfItem[] = [];
  const endRun = (): void => {
    const isSpace = ({ str }: PdfItem): boolean => str.trim() === '';
    const first = run.findIndex((item) => !isSpace(item));
    const last = run.findLastIndex((item) => !isSpace(item)) + 1;
    if (first < 0) ordered.push(...run);
    else ordered.push(...run.slice(0, first), ...run.slice(first, last).reverse(), ...run.slice(last));
    run = [];
  };
  for (const item of items.toSorted((a, b) => left(b) - left(a))) {
    if (count([item], RIGHT_TO_LEFT) === 0) run.push(item);
    else {
      endRun();
      ordered.push(item);
    }
  }
  endRun();
  return ordered;
};

/** Whether two pieces side by side have a gap between them that nobody wrote a space into. */
const isApart = (a: PdfItem, b: PdfItem): boolean =>
  !/\s$/.test(a.str) &&
  !/^\s/.test(b.str) &&
  Math.max(left(a), left(b)) - Math.min(left(a) + a.width, left(b) + b.width) > SPACE_SHARE * Math.max(a.height, b.height, 1);

const joined = (items: PdfItem[]): string => {
  const pieces = items.filter(({ str }) => str !== '');
  return pieces.map((item, at) => (at > 0 && isApart(pieces[at - 1] as PdfItem, item) ? ` ${item.str}` : item.str)).join('');
};

/** The text of a page, line by line. */
export const textOfItems = (items: PdfItem[]): string => {
  const lines: string[] = [];
  let line: PdfItem[] = [];
  const endLine = (): void => {
    // From left to right pdf.js sees to the spaces itself.
    lines.push(isRightToLeft(line) ? joined(inReadingOrder(line)) : line.map(({ str }) => str).join(''));
    line = [];
  };
  for (const item of items) {
    line.push(item);
    if (item.hasEOL) endLine();
  }
  endLine();
  return tidyText(lines.join('\n'));
};

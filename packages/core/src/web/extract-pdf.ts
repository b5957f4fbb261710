import { setTimeout as pause } from 'node:timers/promises';
import { getDocumentProxy } from 'unpdf';
import type { Extract, ExtractLimits } from './extractor.ts';
import { textOfItems } from './pdf-lines.ts';
import { tidyText } from './tidy-text.ts';
import { unreadable } from './unreadable.ts';

const MAX_TITLE_CHARS = 300;
/** Share of the time after which what was read so far is returned, cut. */
const READING_SHARE = 0.8;

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>;

const open = async (bytes: Buffer): Promise<Pdf> => {
  try {
    return await getDocumentProxy(new Uint8Array(bytes), { stopAtErrors: false, enableXfa: false, useSystemFonts: false, disableFontFace: true, verbosity: 0 });
  } catch (thrown) {
    const name = thrown instanceof Error ? thrown.name : '';
    if (name === 'PasswordException') throw unreadable('encrypted', 'The PDF is protected by a password.', thrown);
    throw unreadable('broken', 'The PDF is damaged, or no PDF.', thrown);
  }
};

const readPage = async (pdf: Pdf, number: number): Promise<string> => {
  const page = await pdf.getPage(number);
  const { items } = await page.getTextContent();
  page.cleanup();
  return textOfItems(items.filter((item) => 'str' in item));
};

const titleOf = async (pdf: Pdf): Promise<string> => {
  try {
    const { info } = await pdf.getMetadata();
    const title = 'Title' in info && typeof info.Title === 'string' ? info.Title : '';
    return tidyText(title).replace(/\s+/g, ' ').slice(0, MAX_TITLE_CHARS);
  } catch {
    return ''; // A PDF whose metadata are damaged has no title.
  }
};

/**
 * The text of a PDF, page by page, as far as the limits go.
 * @throws AppError `document_unreadable`: protected, damaged, or without text (scans).
 */
export const extractPdf = async (bytes: Buffer, limits: ExtractLimits): Promise<Extract> => {
  const start = performance.now();
  const pdf = await open(bytes);
  const pages: string[] = [];
  let failed = 0;
  let chars = 0;
  const last = Math.min(pdf.numPages, limits.maxPages);
  let number = 1;
  for (; number <= last && chars < limits.maxChars && performance.now() - start < limits.timeoutMs * READING_SHARE; number++) {
    const text = await readPage(pdf, number).catch(() => {
      failed++;
      return '';
    });
    pages.push(text.slice(0, limits.maxChars - chars));
    chars += text.length + 2;
    // Lets go of what the page has left behind.
    await pause(0);
  }
  const isTruncated = number <= pdf.numPages || chars > limits.maxChars + 2 || failed > 0;
  if (pages.every((page) => page === '')) {
    if (failed > 0) throw unreadable('broken', 'No page of the PDF can be read.');
    throw unreadable('empty', 'The PDF has no text: its pages are pictures.');
  }
  return { title: await titleOf(pdf), text: pages.join('\n\n'), isTruncated, pageStarts: pageStarts(pages), pageCount: pdf.numPages };
};

const pageStarts = (pages: string[]): number[] => {
  let at = 0;
  return pages.map((page) => {
    const start = at;
    at += page.length + 2;
    return start;
  });
};

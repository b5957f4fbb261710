import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { constants, deflateRawSync } from 'node:zlib';
import PDFDocument from 'pdfkit';
import { describe, expect, it } from 'vitest';
import type { AppError } from '../../src/errors.ts';
import type { Extract, ExtractLimits } from '../../src/web/extractor.ts';
import { textOfItems } from '../../src/web/pdf-lines.ts';
import { readDocument } from '../../src/web/read-document.ts';

/** Generous: the machine may be busy. */
const LIMITS: ExtractLimits = { maxChars: 2_000_000, maxPages: 1000, timeoutMs: 60_000 };
const { signal } = new AbortController();
const readPdf = (bytes: Buffer, limits: ExtractLimits, until: AbortSignal): Promise<Extract> =>
  readDocument({ bytes, contentType: 'application/pdf', owner: 'default' }, limits, until);
const reason = (reading: Promise<unknown>): Promise<string | undefined> =>
  reading.then(
    () => 'read',
    (error: AppError) => error.reason,
  );

type Options = ConstructorParameters<typeof PDFDocument>[0];
const makePdf = (draw: (pdf: InstanceType<typeof PDFDocument>) => void, options: Options = {}): Promise<Buffer> =>
  new Promise((resolve) => {
    const pdf = new PDFDocument(options);
    const chunks: Buffer[] = [];
    pdf.on('data', (chunk: Buffer) => chunks.push(chunk));
    pdf.on('end', () => resolve(Buffer.concat(chunks)));
    draw(pdf);
    pdf.end();
  });

const onePage = (options: Options = {}): Promise<Buffer> => makePdf((pdf) => void pdf.fontSize(14).text('The keeper wrote down the weather.'), options);

/** A page whose text is `megabytes` of spaces, packed twice: some kB in the file. */
const bomb = (megabytes: number): Buffer => {
  const block = deflateRawSync(Buffer.alloc(1_000_000, ' '), { finishFlush: constants.Z_FULL_FLUSH });
  const packed = Buffer.concat([Buffer.from([0x78, 0x9c]), ...Array.from({ length: megabytes }, () => block), Buffer.from([3, 0, 0, 0, 0, 0])]);
  const head = `%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj\n4 0 obj<</Filter/FlateDecode/Length ${packed.length}>>stream\n`;
  return Buffer.concat([Buffer.from(head), packed, Buffer.from('\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF')]);
};

const readersNow = (): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('extract-child');
    } catch {
      return false; // It ended while we looked.
    }
  });
/** Those of this process. */
const children = (): string[] => readersNow().filter((pid) => parentOf(pid) === String(process.pid));
const parentOf = (pid: string): string | undefined => {
  try {
    return /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  } catch {
    return undefined; // It has ended.
  }
};

describe('a PDF is read in a process of its own', () => {
  it('one page, with its title', async () => {
    const bytes = await onePage({ info: { Title: 'The log' } });
    const read = await readPdf(bytes, LIMITS, signal);
    expect(read).toEqual({ title: 'The log', text: 'The keeper wrote down the weather.', isTruncated: false, pageStarts: [0], pageCount: 1 });
  });

  it('is known by its bytes, whatever it is called', async () => {
    expect((await readDocument({ bytes: await onePage(), contentType: 'text/html', owner: 'default' }, LIMITS, signal)).text).toContain('The keeper');
  });

  it('500 pages, each where it begins', async () => {
    const bytes = await makePdf(
      (pdf) => {
        for (let page = 1; page <= 500; page++) pdf.addPage().text(`Page ${page} of the log. `.repeat(60));
      },
      { autoFirstPage: false },
    );
    const { text, pageStarts, pageCount, isTruncated } = await readPdf(bytes, LIMITS, signal);
    expect(pageCount).toBe(500);
    expect(isTruncated).toBe(false);
    expect(pageStarts).toHaveLength(500);
    expect(text.slice(pageStarts?.[499])).toMatch(/^Page 500 of the log\./);
    expect(await readPdf(bytes, { ...LIMITS, maxPages: 3 }, signal)).toMatchObject({ isTruncated: true, pageCount: 500, pageStarts: { length: 3 } });
    const cut = await readPdf(bytes, { ...LIMITS, maxChars: 5000 }, signal);
    expect(cut).toMatchObject({ isTruncated: true });
    expect(cut.text.length).toBeLessThanOrEqual(5000);
  });

  it('a file cut in the middle gives what is left of it, or says that it is damaged', async () => {
    const bytes = await onePage();
    expect(['broken', 'empty']).toContain(await reason(readPdf(bytes.subarray(0, bytes.length / 4), LIMITS, signal)));
  });

  it.each([
    ['protected by a password', () => onePage({ userPassword: 'secret' }), 'encrypted'],
    ['no PDF', async () => Buffer.from('hello'), 'broken'],
    ['nothing but its head', async () => Buffer.from('%PDF-1.7\n'), 'broken'],
    ['drawings alone', () => makePdf((pdf) => void pdf.rect(10, 10, 100, 100).fill('red')), 'empty'],
  ])('%s', async (_name, make, expected) => {
    expect(await reason(readPdf(await make(), LIMITS, signal))).toBe(expected);
  });
});

describe('a PDF in other letters', () => {
  const font = createRequire(import.meta.url).resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf');
  const readDrawn = async (draw: (pdf: InstanceType<typeof PDFDocument>) => void): Promise<string> =>
    (await readPdf(await makePdf((pdf) => draw(pdf.font(font).fontSize(12))), LIMITS, signal)).text;

  it.each(['Смотритель маяка записывал погоду.', 'Der Wärter schrieb auf, was größer wurde.', 'Strażnik zapisywał żółtą łódź.', 'İstanbul’da ışık söndü.'])(
    '%s',
    async (text) => {
      expect(await readDrawn((pdf) => void pdf.text(text))).toBe(text);
    },
  );

  const words = ['يرتفع', 'البحر', 'مرتين', 'كل', 'يوم'];
  it.each([
    ['first word first', (at: number) => at],
    ['last word first', (at: number) => words.length - 1 - at],
  ])('right-to-left, written into the file %s', async (_order, nth) => {
    const text = await readDrawn((pdf) => {
      for (let step = 0; step < words.length; step++) {
        const at = nth(step);
        pdf.text(words[at] as string, 500 - at * 60, 100, { lineBreak: false });
      }
    });
    expect(text.split(/\s+/)).toEqual(words);
  });

  it('words of Latin letters among them are read from the left', () => {
    const item = (str: string, x: number, width: number, hasEOL = false) => ({ str, hasEOL, transform: [1, 0, 0, 1, x, 0], width, height: 10 });
    const line = [
      item('استخدم', 300, 40),
      item('New', 200, 28),
      item(' ', 228, 7),
      item('York', 235, 60),
      item('في', 150, 20),
      item('2026', 100, 49, true),
      item('two', 10, 20),
      item(' lines', 30, 20),
    ];
    expect(textOfItems(line)).toBe('استخدم New York في2026\ntwo lines');
  });
});

describe('a document that harms its reader harms nobody else', () => {
  it('a bomb is ended when it takes more than its memory', async () => {
    expect(await reason(readPdf(bomb(3000), LIMITS, signal))).toBe('too_complex');
    expect(children()).toEqual([]);
  });

  it('one that takes too long is ended', async () => {
    expect(await reason(readPdf(await onePage(), { ...LIMITS, timeoutMs: 20 }, signal))).toBe('timed_out');
    expect(children()).toEqual([]);
  });

  it('ends with its job', async () => {
    const job = new AbortController();
    const reading = readPdf(bomb(3000), LIMITS, job.signal);
    setTimeout(() => job.abort(new Error('cancelled')), 100);
    await expect(reading).rejects.toThrow('cancelled');
    expect(children()).toEqual([]);
  });

  it('ends by itself when its worker is killed', async () => {
    const parent = spawn(process.execPath, [fileURLToPath(new URL('./killed-reader.ts', import.meta.url))], { stdio: ['pipe', 'ignore', 'inherit'] });
    parent.stdin.end(bomb(3000));
    const childOf = (pid: number | undefined): string | undefined => readersNow().find((reader) => parentOf(reader) === String(pid));
    await expect.poll(() => childOf(parent.pid), { timeout: 20_000 }).toBeDefined();
    const child = childOf(parent.pid) as string;
    parent.kill('SIGKILL');
    await expect.poll(() => readersNow().includes(child), { timeout: 60_000, interval: 200 }).toBe(false);
  }, 90_000);

  it('is not told of the environment', async () => {
    const reading = readPdf(await onePage(), LIMITS, signal);
    await expect.poll(() => children().length).toBe(1);
    const [pid] = children();
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1').replace(/(?:PWD|OLDPWD|SHLVL|_)=[^\0]*\0/g, '')).toBe('');
    await reading;
  });
});

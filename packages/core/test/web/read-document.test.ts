import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AppError } from '../../src/errors.ts';
import type { Extract, ExtractLimits } from '../../src/web/extractor.ts';
import { readDocument } from '../../src/web/read-document.ts';

/** Generous: the machine may be busy. */
const LIMITS: ExtractLimits = { maxChars: 60_000, maxPages: 200, timeoutMs: 25_000 };
const { signal } = new AbortController();
const page = (name: string): Buffer => readFileSync(join(import.meta.dirname, 'pages', name));
const read = (bytes: Buffer, contentType?: string, limits: Partial<ExtractLimits> = {}): Promise<Extract> =>
  readDocument({ bytes, contentType, owner: 'default' }, { ...LIMITS, ...limits }, signal);
const reason = (reading: Promise<unknown>): Promise<string | undefined> =>
  reading.then(
    () => 'read',
    (error: AppError) => error.reason,
  );

describe.concurrent('an article is read without what stands around it, in its own language', () => {
  it.each([
    ['en-article.html', 'text/html', 'The lighthouse keeper', 'after three ships had been lost'],
    ['ar-article.html', 'text/html; charset=utf-8', 'حارس المنارة', 'كان حارسها يدوّن حالة الطقس أربع مرات في اليوم'],
    ['ar-windows-1256.html', 'text/html', 'حارس المنارة', 'ليري المهندسين كيف يتصرف الضباب'],
    ['hi-article.html', 'text/html', 'प्रकाशस्तंभ का रखवाला', 'इंजीनियरों को कोहरे का स्वभाव समझा सके।'],
    ['zh-gbk.html', 'text/html', '灯塔看守人', '守塔人每天记录四次天气'],
    ['zh-big5.html', 'text/html', '燈塔看守人', '守塔人每天記錄四次天氣'],
    ['ja-shift-jis.html', 'text/html', '灯台守', '灯台守は一日に四回天気を書き留め'],
    ['ja-euc-jp-header-only.html', 'text/html; charset="EUC-JP"', '灯台守', '灯台守は一日に四回天気を書き留め'],
    ['ru-windows-1251.html', 'text/html', 'Смотритель маяка', 'Его смотритель четыре раза в день записывал погоду'],
    ['ru-undeclared-1251.html', 'text/html', 'Смотритель маяка', 'Его смотритель четыре раза в день записывал погоду'],
    ['ru-koi8-r.html', 'text/html', 'Смотритель маяка', 'Его смотритель четыре раза в день записывал погоду'],
    ['zh-gbk.html', 'text/html; charset=utf-8', '灯塔看守人', '守塔人每天记录四次天气'],
    ['de-utf8-called-latin1.html', 'text/html; charset=iso-8859-1', 'Der Leuchtturmwärter', 'Sein Wärter schrieb viermal täglich'],
    ['he-utf16.html', 'text/html', 'שומר המגדלור', 'אחרי ששלוש אוניות אבדו'],
  ])('%s as %s', async (name, contentType, title, sentence) => {
    const { text, title: read_, isTruncated } = await read(page(name), contentType);
    expect(read_).toBe(title);
    expect(text).toContain(sentence);
    expect(text).not.toMatch(/HIDDEN-BANNER|SIDEBAR|FOOTER-LINE|SCRIPT-TEXT|\ufffd/);
    expect(isTruncated).toBe(false);
  });
});

describe.concurrent('structure survives as Markdown', () => {
  it('a table', async () => {
    const { text } = await read(page('en-table.html'));
    expect(text).toContain('## Opening hours\n\n| Day | From | To |\n| --- | --- | --- |\n| Monday | 9:00 | 17:00 |\n| Sunday | closed \\| all day |');
  });

  it('code with its indents, and nested lists', async () => {
    const { text } = await read(page('en-code.html'));
    expect(text).toContain(
      'Use `readLog()` as here:\n\n```\nconst log = readLog("1874");\nfor (const day of log) {\n  if (day.wind > 8) console.log(day);\n}\n```',
    );
    expect(text).toContain('1. Open the file\n2. Read a line\n  - skip comments\n3. Close it');
  });

  it('a fragment with unclosed elements', async () => {
    expect((await read(page('en-fragment.html'))).text).toBe('## Notice\n\nThe harbour is closed\n\nuntil Friday.\nUse the back door.');
  });

  it.each([
    '<!doctype html><html lang="en"><title>Notice</title><p>The harbour is closed.</html>',
    '<!doctype html><html><head><title>Notice</title></head><p>The harbour is closed.</p></html>',
    '<!doctype html><title>Notice</title><p>The harbour is closed.',
  ])('a page that leaves out the tags which may be left out: %s', async (source) => {
    expect(await read(Buffer.from(source), 'text/html')).toMatchObject({ title: 'Notice', text: 'The harbour is closed.' });
  });

  it('a page that is no article: all that it shows', async () => {
    const { text, title } = await read(page('en-index.html'), 'text/html');
    expect(title).toBe('Links');
    expect(text).toContain('- Chapter 1\n- Chapter 2');
  });
});

describe.concurrent('text that is no page', () => {
  it.each([
    ['Markdown', Buffer.from('# Title\r\n\r\n- one\r\n'), 'text/markdown', '# Title\n\n- one'],
    ['JSON', Buffer.from('{"a": "ü"}'), 'application/json', '{"a": "ü"}'],
    ['plain text with a mark', Buffer.from('\ufeffمرحبا', 'utf8'), 'text/plain', 'مرحبا'],
    ['UTF-16', Buffer.from('\ufeffПривет', 'utf16le'), 'text/plain', 'Привет'],
    ['text without a type', Buffer.from('just words'), undefined, 'just words'],
    ['text that is called binary', Buffer.from('just words'), 'application/octet-stream', 'just words'],
    ['an encoding nobody knows', Buffer.from('just words'), 'text/plain; charset=klingon', 'just words'],
    ['control characters', Buffer.from('a\u0007b\u001b[31mc'), 'text/plain', 'ab[31mc'],
  ])('%s', async (_name, bytes, type, text) => {
    expect((await read(bytes, type)).text).toBe(text);
  });
});

describe.concurrent('what cannot be read says why', () => {
  it.each([
    ['nothing', Buffer.alloc(0), 'text/html', 'empty'],
    ['white space', Buffer.from(' \n\t '), 'text/plain', 'empty'],
    ['a page that a script would fill', page('script-only.html'), 'text/html', 'empty'],
    ['the page of a video', page('video-page.html'), 'text/html', 'is_video'],
    ['a video by its type', Buffer.from('x'), 'video/mp4', 'is_video'],
    ['a video by its bytes', Buffer.from('\0\0\0\x20ftypisom\0\0\x02\0'), 'application/octet-stream', 'is_video'],
    ['a sound', Buffer.from('ID3\x04'), undefined, 'is_audio'],
    ['a picture called a page', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), 'text/html', 'is_image'],
    ['an archive', Buffer.from('PK\x03\x04\0\0'), 'application/zip', 'is_binary'],
    ['a Word document', Buffer.from('PK\x03\x04'), 'application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'is_binary'],
    ['zeros called text', Buffer.from('a\0b\0\0c'), 'text/plain', 'is_binary'],
    ['a page nested a hundred thousand times', Buffer.from('<div>'.repeat(100_000)), 'text/html', 'too_complex'],
  ])('%s', async (_name, bytes, type, expected) => {
    expect(await reason(read(bytes, type))).toBe(expected);
  });

  it('more text than is wanted is cut, and says so', async () => {
    const { text, isTruncated } = await read(page('en-article.html'), 'text/html', { maxChars: 40 });
    expect(text).toHaveLength(40);
    expect(isTruncated).toBe(true);
  });
});

import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';
import { chunkText } from './chunk.ts';

const sentence = (n: number): string => `Sentence number ${n} says something about the weather of that day. `;
const prose = (count: number): string => Array.from({ length: count }, (_, n) => sentence(n)).join('');

describe('a text is cut along its structure', () => {
  it('under its headings, which are the path of the chunks; the first of the first level is the title', () => {
    const { title, chunks } = chunkText(`# Guide\n\n${prose(8)}\n\n## Setup\n\n${prose(8)}\n\n### Linux\n\n${prose(8)}\n\n## Use\n\n${prose(8)}`);
    expect(title).toBe('Guide');
    expect(chunks.map(({ path }) => path)).toEqual([['Guide'], ['Guide', 'Setup'], ['Guide', 'Setup', 'Linux'], ['Guide', 'Use']]);
  });

  it('short sections share a chunk, with their headings in it', () => {
    const { chunks } = chunkText('# A\n\none\n\n## B\n\ntwo\n\n## C\n\nthree');
    expect(chunks).toEqual([{ path: ['A'], text: 'one\n\n## B\n\ntwo\n\n## C\n\nthree' }]);
  });

  it('into chunks that overlap and are never longer than 320 tokens and what joins them', () => {
    const { chunks } = chunkText(prose(200));
    expect(chunks.length).toBeGreaterThan(5);
    for (const { text } of chunks) expect(countTokens(text)).toBeLessThanOrEqual(340);
    for (const [at, { text }] of chunks.slice(1).entries())
      expect(chunks[at]?.text.endsWith(text.split('. ')[0] ?? '-') || chunks[at]?.text.includes(text.split('. ')[0] ?? '-')).toBe(true);
    for (let n = 0; n < 200; n++)
      expect(
        chunks.some(({ text }) => text.includes(sentence(n).trim())),
        String(n),
      ).toBe(true);
  });

  it('code stays within fences, a table keeps its header', () => {
    const code = Array.from({ length: 300 }, (_, n) => `const value${n} = compute(${n});`).join('\n');
    const table = `| name | value |\n| --- | --- |\n${Array.from({ length: 200 }, (_, n) => `| row ${n} | ${n * n} |`).join('\n')}`;
    const { chunks } = chunkText(`\`\`\`js\n${code}\n\`\`\`\n\n${table}`);
    const [codes, tables] = [chunks.filter(({ text }) => text.includes('compute(')), chunks.filter(({ text }) => /\| row \d/.test(text))];
    for (const { text } of codes) expect(text).toMatch(/```js\n[\s\S]*\n```/);
    for (const { text } of tables) expect(text).toContain('| name | value |\n| --- | --- |');
    expect(codes.length).toBeGreaterThan(3);
    expect(tables.length).toBeGreaterThan(3);
  });

  it.each(['机器学习是人工智能的一个分支。'.repeat(200), 'ห้องสมุดเปิดทุกวัน '.repeat(300), 'مكتبة المدينة مفتوحة كل يوم. '.repeat(200)])(
    'in a script without Latin words: %#',
    (text) => {
      const { chunks } = chunkText(text);
      expect(chunks.length).toBeGreaterThan(1);
      for (const chunk of chunks) {
        expect(chunk.text.isWellFormed()).toBe(true);
        expect(countTokens(chunk.text)).toBeLessThanOrEqual(400);
      }
    },
  );

  it('always the same way', () => {
    const text = `# T\n\n${prose(50)}\n\n- ${Array.from({ length: 80 }, (_, n) => `item ${n}`).join('\n- ')}`;
    expect(chunkText(text)).toEqual(chunkText(text));
  });
});

describe('odd texts are cut in bounded time', () => {
  it.each([
    ['a word of 200,000 letters', 'a'.repeat(200_000)],
    ['200,000 spaces in a text', `a${' '.repeat(200_000)}b`],
    ['5,000 nested quotes', `${'> '.repeat(5000)}x`],
    ['100,000 stars', '*a_ '.repeat(25_000)],
    ['emoji alone', '👩‍👩‍👧‍👦'.repeat(3000)],
    ['100,000 brackets', '[['.repeat(50_000)],
  ])('%s', (_, text) => {
    const { chunks } = chunkText(text);
    expect(chunks.length).toBeGreaterThan(0);
    for (const chunk of chunks) expect(chunk.text.isWellFormed()).toBe(true);
  });

  it('nothing but white space has no chunks, headings alone are a text', () => {
    expect(chunkText(' \n\n\t').chunks).toEqual([]);
    expect(chunkText('# Only a title').chunks).toEqual([{ path: ['Only a title'], text: '# Only a title' }]);
  });

  it('more than 20,000 pieces are too many', () => {
    expect(() => chunkText(Array.from({ length: 20_100 }, (_, n) => `# ${n}\n\n${'word '.repeat(70)}`).join('\n\n'))).toThrow('more than 20000 pieces');
  });
});

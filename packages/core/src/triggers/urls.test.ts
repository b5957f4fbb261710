import { expect, it } from 'vitest';
import { findUrls, urlKind } from './urls.ts';

const urlsOf = (text: string): string[] => findUrls(text).map(({ url }) => url);

it.each([
  ['https://example.com/a.png', 'image'],
  ['http://example.com/A.JPG?x=1#top', 'image'],
  ['https://example.com/a.jpeg#zoom', 'image'],
  ['https://example.com/a.webp', 'image'],
  ['https://example.com/a.GIF?b=/c', 'image'],
  ['https://example.com/report.pdf?page=2', 'document'],
  ['https://example.com/notes.docx', 'document'],
  ['https://example.com/readme.md', 'document'],
  ['https://example.com/list.txt', 'document'],
  ['https://example.com/', 'page'],
  ['https://example.com/watch?v=cat.png', 'page'],
  ['https://example.png', 'page'],
  ['https://example.com/a.png/', 'page'],
  ['https://example.com/talk.mp4', 'page'],
])('judges %s by the ending of its path: %s', (url, kind) => {
  expect(urlKind(url)).toBe(kind);
});

it.each([
  ['see https://example.com/a.png.', 'https://example.com/a.png'],
  ['(https://example.com/a.png)', 'https://example.com/a.png'],
  ['https://example.com/a.png, please', 'https://example.com/a.png'],
  ['what is https://example.com/a.png?', 'https://example.com/a.png'],
  ['<img src="https://example.com/a.png">', 'https://example.com/a.png'],
  ["img('https://example.com/a.png','x')", 'https://example.com/a.png'],
  ['![](https://example.com/a.png)', 'https://example.com/a.png'],
  ['![alt](https://example.com/a.png "title")', 'https://example.com/a.png'],
  ['**https://example.com/a.png**', 'https://example.com/a.png'],
  ['https://example.com/a.png这是什么', 'https://example.com/a.png'],
  ['看这个：https://example.com/a.png。好看吗', 'https://example.com/a.png'],
  ['「https://example.com/a.png」', 'https://example.com/a.png'],
  ['ما هذا https://example.com/a.png؟', 'https://example.com/a.png'],
  ['https://example.com/a.png,что это', 'https://example.com/a.png'],
  ['https://en.example.org/wiki/Fox_(animal)', 'https://en.example.org/wiki/Fox_(animal)'],
  ['HTTPS://EXAMPLE.COM/A.JPG hm', 'HTTPS://EXAMPLE.COM/A.JPG'],
  ['http://[2001:db8::1]/a.png', 'http://[2001:db8::1]/a.png'],
  ['http://127.0.0.1:3000/photo.JPG?x=1 what is this?', 'http://127.0.0.1:3000/photo.JPG?x=1'],
])('cuts the URL out of %s', (text, url) => {
  expect(urlsOf(text)).toEqual([url]);
});

it('gives a www address a scheme and keeps the place where it was written', () => {
  const text = 'see www.example.com/x.png now';
  const [found] = findUrls(text);
  expect(found).toEqual({ url: 'http://www.example.com/x.png', kind: 'image', start: 4, end: 25 });
  expect(text.slice(found?.start, found?.end)).toBe('www.example.com/x.png');
});

it('finds several URLs, also when only a comma parts them', () => {
  expect(urlsOf('https://a.example/1.png,https://b.example/2.png and www.c.example/3')).toEqual([
    'https://a.example/1.png',
    'https://b.example/2.png',
    'http://www.c.example/3',
  ]);
});

it.each(['cat.png', 'https://', 'http:// x', 'www.', 'www.localhost', 'mail me@www.example.com', 'awww.nice', ''])('finds no URL in %j', (text) => {
  expect(findUrls(text)).toEqual([]);
});

it('stays quick on a long text full of brackets and half URLs', () => {
  const start = performance.now();
  findUrls('http://('.repeat(20_000));
  findUrls(`https://example.com/${'('.repeat(50_000)}`);
  expect(performance.now() - start).toBeLessThan(1000);
});

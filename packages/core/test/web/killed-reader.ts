/** Run by read-pdf.test.ts, which kills it while it reads the PDF on its input. */
import { buffer } from 'node:stream/consumers';
import { readDocument } from '../../src/web/read-document.ts';

const limits = { maxChars: 1000, maxPages: 10, timeoutMs: 10_000 };
await readDocument({ bytes: await buffer(process.stdin), contentType: 'application/pdf', owner: 'default' }, limits, new AbortController().signal);

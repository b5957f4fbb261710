/**
 * A process of its own that reads one hostile document and ends: started by extractor.ts, which limits its memory and time. The first line
 * it is sent says what to do, the rest is the document; what it made, or why it could not, is one JSON object on its output.
 */
import { buffer } from 'node:stream/consumers';
import { AppError } from '../errors.ts';
import type { ExtractReply, ExtractTask } from './extractor.ts';
import { reasonOf } from './unreadable.ts';

const extract = async (task: ExtractTask, bytes: Buffer): Promise<ExtractReply> => {
  try {
    // Loaded here, so that a page does not wait for the reader of PDFs.
    if (task.kind === 'pdf') return { extract: await (await import('./extract-pdf.ts')).extractPdf(bytes, task.limits) };
    return { extract: (await import('./extract-html.ts')).extractHtml(bytes, task.charset, task.limits) };
  } catch (thrown) {
    if (thrown instanceof AppError) return { reason: reasonOf(thrown), message: thrown.message };
    if (thrown instanceof RangeError) return { reason: 'too_complex', message: 'The document is too deeply nested to be read.' };
    return { reason: 'broken', message: 'The document is damaged in a way that keeps it from being read.' };
  }
};

const sent = await buffer(process.stdin);
const end = sent.indexOf('\n');
const task: ExtractTask = JSON.parse(sent.subarray(0, end).toString());
// Libraries print warnings about bad documents; only the reply may reach the output.
console.log = () => undefined;
console.warn = () => undefined;
process.stdout.write(JSON.stringify(await extract(task, sent.subarray(end + 1))), () => process.exit(0));

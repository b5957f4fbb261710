import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createFairSlots } from './fair-slots.ts';
import { type Unreadable, unreadable } from './unreadable.ts';

export type ExtractLimits = {
  /** Of the text; what is behind is cut off. */
  maxChars: number;
  /** Of a PDF; what is behind is cut off. */
  maxPages: number;
  /** Of the child process, from its start. */
  timeoutMs: number;
};

/** `text` is Markdown for pages and plain for PDFs; `pageStarts` are the places in it where the pages of a PDF begin, of `pageCount` in all. */
export type Extract = { title: string; text: string; isTruncated: boolean; pageStarts?: number[]; pageCount?: number };

/** What the child is sent before the document. */
export type ExtractTask = { kind: 'html' | 'pdf'; charset?: string | undefined; limits: ExtractLimits };
/** What it answers. */
export type ExtractReply = { extract: Extract } | { reason: Unreadable; message: string };

/** Of the child as the system counts it: code, heap and buffers. */
const MAX_CHILD_BYTES = 512 * 1024 * 1024;
/** Of its JavaScript heap: what is over is its code, its buffers and the garbage of both. */
const MAX_HEAP_MB = 320;
const WATCH_MS = 40;
/** Documents read at once in this process: each may take 512 MB and a core. */
const MAX_CHILDREN = 2;
/** A child whose parent was killed is ended by the system when it has worked this much longer than it may take. */
const CPU_GRACE_SECONDS = 10;

const slots = createFairSlots(MAX_CHILDREN);

/** In the bundle the child lies beside it under the same name. */
const CHILD = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './extract-child.ts' : './extract-child.mjs', import.meta.url));

/** No environment (there are keys in it), no writing, no processes, no code from strings: a document that takes the child over has little. */
const FLAGS = [
  `--max-old-space-size=${MAX_HEAP_MB}`,
  '--max-semi-space-size=16',
  '--disallow-code-generation-from-strings',
  '--no-warnings',
  // Not in every Node that this may run on.
  ...(process.allowedNodeEnvironmentFlags.has('--permission') ? ['--permission', '--allow-fs-read=*'] : []),
];

/**
 * What holds even when nobody watches, because the worker was killed: CPU, and 2 GB of data, of which V8 sets half a GB aside at its start
 * (so the 512 MB themselves cannot be asked of the kernel).
 */
const LIMITED = 'ulimit -c 0; ulimit -d 2097152; ulimit -t "$0" && exec "$@"';

/** Twice the time: collecting garbage goes on beside the work. */
const cpuSeconds = (timeoutMs: number): number => Math.ceil(timeoutMs / 1000) * 2 + CPU_GRACE_SECONDS;

const start = (timeoutMs: number): ChildProcess =>
  spawn('/bin/sh', ['-c', LIMITED, String(cpuSeconds(timeoutMs)), process.execPath, ...FLAGS, CHILD], {
    env: {},
    stdio: ['pipe', 'pipe', 'ignore'],
    // A group of its own: Ctrl-C in a terminal is for us to hear, and we drain first.
    detached: true,
  });

/** Resident bytes of a process; 0 where the system does not tell (then only the heap is limited) or the process is gone. */
const residentBytes = (pid: number): number => {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
};

type Ending = 'timed_out' | 'memory' | 'output' | 'aborted';

/** Runs the child to its end, which it reaches whatever happens. */
const runChild = async (
  task: ExtractTask,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<{ output: string; ending: Ending | undefined; code: number | null }> => {
  const { maxChars, timeoutMs } = task.limits;
  const child = start(timeoutMs);
  let ending: Ending | undefined;
  const end = (why: Ending): void => {
    ending ??= why;
    child.kill('SIGKILL');
  };
  const onAbort = (): void => end('aborted');
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => end('timed_out'), timeoutMs);
  const watch = setInterval(() => child.pid !== undefined && residentBytes(child.pid) > MAX_CHILD_BYTES && end('memory'), WATCH_MS);
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    // JSON writes a character in 6 bytes at most.
    if (size > maxChars * 6 + 1_000_000) end('output');
  });
  // It may end before it has read everything.
  child.stdin?.on('error', () => undefined);
  child.stdin?.write(`${JSON.stringify(task)}\n`);
  child.stdin?.end(bytes);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    return { output: Buffer.concat(chunks).toString(), ending, code };
  } finally {
    clearTimeout(timer);
    clearInterval(watch);
    signal.removeEventListener('abort', onAbort);
  }
};

const parseReply = (output: string): ExtractReply | undefined => {
  try {
    return JSON.parse(output);
  } catch {
    return undefined; // It was ended while it wrote, or before.
  }
};

/**
 * Reads a document of which nothing is known to be good, in a child process that may use 512 MB and `timeoutMs`: what it does to itself is
 * told as a reason, and never reaches this process. At most two at once; the others wait, the tenants taking turns (`owner`).
 * @throws AppError `document_unreadable`; the reason of `signal` when it aborts.
 */
export const extract = (task: ExtractTask, { bytes, owner }: { bytes: Uint8Array; owner: string }, signal: AbortSignal): Promise<Extract> =>
  slots(owner, async () => {
    signal.throwIfAborted();
    const { output, ending, code } = await runChild(task, bytes, signal);
    signal.throwIfAborted();
    if (ending === 'timed_out') throw unreadable('timed_out', `The document could not be read within ${task.limits.timeoutMs / 1000} s.`);
    const reply = ending === undefined ? parseReply(output) : undefined;
    if (!reply) throw unreadable('too_complex', 'The document takes more memory to read than it may.', new Error(`child ended: ${ending ?? code}`));
    if ('reason' in reply) throw unreadable(reply.reason, reply.message);
    return reply.extract;
  });

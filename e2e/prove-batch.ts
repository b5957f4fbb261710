import { parseArgs } from 'node:util';
import { proveBatch } from './support/batch-proof.ts';

// `npm run proof:batch -- --lines 10000 --kind pictures`: what batch-faults.test.ts does with 1,000 lines, with as many as wanted.
const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '10000' },
    kind: { type: 'string', default: 'pictures' },
    'call-ms': { type: 'string', default: '200' },
    'timeout-minutes': { type: 'string', default: '60' },
  },
});
const { kind } = values;
if (kind !== 'pictures' && kind !== 'chat' && kind !== 'embeddings') throw new Error('--kind is pictures, chat or embeddings.');

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)));

const startedMs = Date.now();
const { broken, ...figures } = await proveBatch({
  kind,
  lines: Number(values.lines),
  callMs: Number(values['call-ms']),
  timeoutMs: Number(values['timeout-minutes']) * 60_000,
  signal: stop.signal,
  log: (text) => console.log(`${((Date.now() - startedMs) / 1000).toFixed(0).padStart(5)} s  ${text}`),
});
console.log(JSON.stringify(figures));
for (const line of broken) console.error(line);
console.log(
  broken.length === 0 ? 'Every line is in one file once; each was paid once or is reported unknown_outcome.' : `${broken.length} promises were broken.`,
);
process.exitCode = broken.length === 0 ? 0 : 1;

import { setImmediate as turn } from 'node:timers/promises';
import type { Deps } from '../deps.ts';
import { type BatchProblem, type BatchSpec, CHUNK_LINES, MAX_LINES } from './batch.ts';
import { estimateUsd } from './estimate.ts';
import { type BatchLine, LineProblem, parseLine } from './parse-line.ts';
import { readLines, type SourceLine } from './read-lines.ts';

/** So many problems are told; the first is enough to fail. */
const MAX_PROBLEMS = 100;
/** After this many lines whoever else this process serves is let in. */
const LINES_A_TURN = 200;

/** What is known of a file once it was read. Without `problems` it can run; `offsets` are the bytes at which its chunks begin, and its end. */
export type Validation = { problems: BatchProblem[]; total: number; offsets: number[]; model?: string | undefined };

type Reading = { deps: Pick<Deps, 'providers' | 'redis' | 'blobs' | 'config' | 'now'>; spec: BatchSpec; customIds: Set<string>; models: Set<string> };

const check = async ({ deps, spec, customIds, models }: Reading, { text, isUtf8 }: SourceLine): Promise<BatchLine> => {
  if (!isUtf8) throw new LineProblem('invalid_json_line', 'This line is not UTF-8.');
  const line = await parseLine(deps, text, spec);
  if (customIds.has(line.customId))
    throw new LineProblem('duplicate_custom_id', `custom_id ${JSON.stringify(line.customId.slice(0, 100))} was used before.`, 'custom_id');
  if (spec.maxCostUsd !== undefined && estimateUsd(deps, line.call) === undefined) {
    throw new LineProblem('unknown_price', `The price of ${line.call.model} is not known, so max_cost_usd cannot be kept.`, 'body.model');
  }
  customIds.add(line.customId);
  models.add(line.call.model);
  return line;
};

const problemOf = (thrown: LineProblem, line: number): BatchProblem => ({ code: thrown.code, message: thrown.message, line, param: thrown.param });

/**
 * Reads a whole input file as a stream and checks every line as its route would; nobody is called. `signal` ends it early.
 * @throws what the source throws, AppError `payload_too_large` for an endless line, the reason of `signal`.
 */
export const validateFile = async (deps: Reading['deps'], spec: BatchSpec, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Validation> => {
  const reading: Reading = { deps, spec, customIds: new Set(), models: new Set() };
  const problems: BatchProblem[] = [];
  const offsets: number[] = [];
  let total = 0;
  let end = 0;
  for await (const line of readLines(source)) {
    if (total % CHUNK_LINES === 0) offsets.push(line.offset);
    total++;
    end = line.end;
    if (total > MAX_LINES) {
      problems.unshift({ code: 'too_many_lines', message: `A batch has at most ${MAX_LINES} lines.`, line: line.number, param: null });
      break;
    }
    try {
      await check(reading, line);
    } catch (thrown) {
      if (!(thrown instanceof LineProblem)) throw thrown;
      problems.push(problemOf(thrown, line.number));
      if (problems.length === MAX_PROBLEMS) break;
    }
    if (total % LINES_A_TURN === 0) {
      await turn();
      signal.throwIfAborted();
    }
  }
  if (total === 0) problems.push({ code: 'empty_file', message: 'The input file has no lines.', line: null, param: 'input_file_id' });
  offsets.push(end);
  const [model] = reading.models;
  return { problems, total, offsets, model: reading.models.size === 1 ? model : undefined };
};

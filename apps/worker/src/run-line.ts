import { setTimeout as sleep } from 'node:timers/promises';
import { partsExpireMs } from '@fana/core/batches/batch.ts';
import { type ChunkLine, customIdOf } from '@fana/core/batches/chunk-lines.ts';
import { estimateUsd } from '@fana/core/batches/estimate.ts';
import { type BatchLine, LineProblem, parseLine } from '@fana/core/batches/parse-line.ts';
import { type FinishedLine, isCompleted, type LineResult } from '@fana/core/batches/result.ts';
import { type HeldLine, type LineState, reopenLine, type Settlement, settleLine } from '@fana/core/batches/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { endpointError } from '@fana/core/endpoints/error.ts';
import { type AppError, ERRORS, toAppError } from '@fana/core/errors.ts';
import { mayHoldBytes } from '@fana/core/jobs/long-texts.ts';
import { LineStop, lineRun } from './line-run.ts';
import { persist, savePaid } from './persist.ts';
import { PROCESSORS } from './processors/index.ts';
import type { ProcessResult } from './processors/processor.ts';
import type { HeldChunk } from './run-batch-chunk.ts';
import { backoffMs, UNKNOWN_OUTCOME } from './verdict.ts';

/** What became of a line: it has ended, it is to be taken up again, its batch takes no new lines, or another worker holds its chunk. */
export type LineEnd = { kind: 'ended' } | { kind: 'left'; againInMs: number } | { kind: 'stopped' } | { kind: 'lost' };

/** A failure that is tried again is waited for in the slot only this long; then the chunk gives its slots back. */
const MAX_BACKOFF_MS = 5000;

type Line = { held: HeldChunk; line: HeldLine; parsed: BatchLine };

/** The story of one line: its calls, each written down before it is made, and its result, written down once. */
export const runLine = async (deps: Deps, held: HeldChunk, source: ChunkLine, state: LineState): Promise<LineEnd> => {
  // A call that nobody knows the end of is told of, also when its batch makes no others.
  if (held.stopping.aborted && state !== 'open') return stopped(held);
  const { batch, chunk, hold } = held;
  const line: HeldLine = { batchId: batch.id, chunk, lease: hold.lease, line: source.line };
  try {
    const parsed = await parseLine(deps, source.text, batch.spec);
    if (batch.spec.maxCostUsd !== undefined) line.estimateUsd = estimateUsd(deps, parsed.call);
    return await runParsed(deps, { held, line, parsed }, state);
  } catch (thrown) {
    if (thrown instanceof LineStop) return endOf(held, thrown);
    if (thrown instanceof LineProblem) {
      // It was good when the batch began: what has changed since is ours (a model, a key), and the line says so.
      const error = { message: thrown.message, type: 'invalid_request_error', code: thrown.code, param: thrown.param };
      return settle(deps, held, line, { line: line.line, customId: customIdOf(source.text), kind: 'refused', reply: { status: 400, error } });
    }
    deps.logger.error({ err: thrown, batch_id: batch.id, line: line.line }, 'a line broke on our side; it comes again');
    return { kind: 'left', againInMs: MAX_BACKOFF_MS };
  }
};

const stopped = ({ hold }: HeldChunk): LineEnd => (hold.reason() === 'cancel' ? { kind: 'stopped' } : { kind: 'left', againInMs: 0 });

const endOf = (held: HeldChunk, { why, againInMs }: LineStop): LineEnd => {
  if (why === 'lost') {
    held.hold.stop('lost');
    return { kind: 'lost' };
  }
  if (why === 'stopped') return { kind: 'stopped' };
  return held.hold.reason() === 'cancel' ? { kind: 'stopped' } : { kind: 'left', againInMs };
};

const runParsed = async (deps: Deps, one: Line, state: LineState): Promise<LineEnd> => {
  const { held, line, parsed } = one;
  // The worker that made this call died before its outcome was written down.
  if (state === 'open') {
    if (parsed.call.type === 'image') return settleUnknown(deps, one);
    await reopen(deps, held, line, false);
  }
  let failed: AppError | undefined;
  for (let round = 1; ; round++) {
    const run = lineRun(deps, one);
    let result: ProcessResult;
    try {
      result = await PROCESSORS[parsed.call.type](deps, run);
    } catch (thrown) {
      if (thrown instanceof LineStop) throw thrown;
      const error = toAppError(thrown);
      // What the last call failed of says more than that there is no other; after a death of its worker nobody knows it.
      if (error.code === 'attempts_exhausted') return settle(deps, held, line, refused(one, failed ?? error));
      const end = await judgeLine(deps, one, { error, isOpen: run.isOpen(), isAnswered: run.isAnswered() });
      if (end) return end;
      failed = error;
      const waitMs = Math.min(backoffMs(round), MAX_BACKOFF_MS);
      await sleep(waitMs, undefined, { signal: held.stopping }).catch(() => undefined);
      if (held.stopping.aborted) return stopped(held);
      continue;
    }
    return complete(deps, one, result);
  }
};

type Failure = { error: AppError; isOpen: boolean; isAnswered: boolean };

const isPause = ({ code }: AppError): boolean => code === 'provider_rate_limited' || code === 'provider_overloaded';

/** What a failed call means for its line (promises 1 to 3); undefined: it is called again. */
const judgeLine = async (deps: Deps, one: Line, { error, isOpen, isAnswered }: Failure): Promise<LineEnd | undefined> => {
  const { held, line, parsed } = one;
  const isPicture = parsed.call.type === 'image';
  if (error.code === 'provider_paused') return { kind: 'left', againInMs: error.retryAfterMs ?? MAX_BACKOFF_MS };
  const isUnknown = error.provider?.outcome === 'unknown' || (isAnswered && held.calls.aborted);
  if (isOpen && isUnknown && isPicture) return settleUnknown(deps, one);
  if (isOpen && isPause(error)) {
    await reopen(deps, held, line, true);
    return undefined;
  }
  if (held.calls.aborted) {
    if (isOpen) await reopen(deps, held, line, error.provider?.outcome === 'not_sent');
    return { kind: 'left', againInMs: 0 };
  }
  const paid = isPicture && error.code === 'provider_bad_response';
  if (!paid && ERRORS[error.code].retryable) {
    if (isOpen) await reopen(deps, held, line, false);
    // Before any call (a store that is away): the chunk comes again later.
    return isOpen ? undefined : { kind: 'left', againInMs: MAX_BACKOFF_MS };
  }
  if (error.code === 'internal_error') deps.logger.error({ err: error.cause ?? error, batch_id: line.batchId, line: line.line }, 'a line failed on our side');
  return settle(deps, held, line, refused(one, error));
};

const place = ({ line, parsed }: Line): { line: number; customId: string } => ({ line: line.line, customId: parsed.customId });

const refused = (one: Line, error: AppError): LineResult => ({ ...place(one), kind: 'refused', reply: endpointError(error) });

/** It may have been made and billed: what was reserved for it counts under the batch's cap. */
const settleUnknown = (deps: Deps, one: Line): Promise<LineEnd> => {
  const { code, message } = UNKNOWN_OUTCOME;
  return settle(deps, one.held, one.line, { ...place(one), kind: 'ended', error: { code, message } }, { costUsd: one.line.estimateUsd });
};

/** Results longer than this live in the blob store, as those of jobs do. */
const INLINE_RESULT_BYTES = 32_768;

const toResult = async (deps: Deps, one: Line, finished: FinishedLine): Promise<LineResult> => {
  const text = JSON.stringify(finished);
  if (text.length <= INLINE_RESULT_BYTES && !mayHoldBytes(text)) return { ...place(one), kind: 'completed', finished };
  const { batch, hold } = one.held;
  const blob = {
    tenant: batch.spec.tenant,
    bytes: Buffer.from(text),
    mediaType: 'application/json',
    expiresMs: partsExpireMs(batch.spec, deps.config.blobs.ttlSeconds),
  };
  try {
    // Kept aside or not: whoever reads it waits until the store has it.
    const { record } = await savePaid(deps, (step) => persist(hold, step), blob, 'The provider answered, but the answer could not be stored.');
    return { ...place(one), kind: 'completed_long', blobId: record.id };
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code !== 'result_not_stored') throw thrown;
    return refused(one, error);
  }
};

const complete = async (deps: Deps, one: Line, result: ProcessResult): Promise<LineEnd> => {
  const { call } = one.parsed;
  const nowMs = deps.now();
  const finished: FinishedLine = {
    createdMs: nowMs,
    finishedMs: nowMs,
    usage: result.usage,
    servedBy: result.servedBy,
    warnings: result.warnings,
    output: result.output,
    spec: { model: call.model, type: call.type, parameters: call.parameters, metadata: call.metadata, echo: call.echo },
  };
  const { inputTokens = 0, cachedInputTokens = 0, outputTokens = 0, reasoningTokens = 0 } = result.usage;
  const usage = { inputTokens, cachedInputTokens, outputTokens, reasoningTokens };
  return settle(deps, one.held, one.line, await toResult(deps, one, finished), { costUsd: result.costUsd, usage });
};

const settle = async (deps: Deps, held: HeldChunk, line: HeldLine, result: LineResult, money: Pick<Settlement, 'costUsd' | 'usage'> = {}): Promise<LineEnd> => {
  const settlement: Settlement = { isFailed: !isCompleted(result), result: JSON.stringify(result), ...money };
  if ((await persist(held.hold, () => settleLine(deps, line, settlement))) === 'settled') return { kind: 'ended' };
  held.hold.stop('lost');
  return { kind: 'lost' };
};

const reopen = async (deps: Deps, held: HeldChunk, line: HeldLine, isFree: boolean): Promise<void> => {
  if (!(await persist(held.hold, () => reopenLine(deps, line, isFree)))) throw new LineStop('lost');
};

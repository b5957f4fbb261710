import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchLine } from '@fana/core/batches/parse-line.ts';
import { beginLine, type HeldLine, reopenLine } from '@fana/core/batches/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { previewOf } from '@fana/core/jobs/spec-line.ts';
import { paced } from '@fana/core/providers/pacing/paced.ts';
import type { CallOptions, Target } from '@fana/core/providers/provider.ts';
import { persist } from './persist.ts';
import type { Run } from './processors/processor.ts';
import type { HeldChunk } from './run-batch-chunk.ts';

/** Thrown through a processor: the line makes no call now. */
export class LineStop extends Error {
  readonly why: 'lost' | 'stopped' | 'wait';
  readonly againInMs: number;
  constructor(why: LineStop['why'], againInMs = 0) {
    super(`the line makes no call now: ${why}`);
    this.name = 'LineStop';
    this.why = why;
    this.againInMs = againInMs;
  }
}

/** A line's turn at its provider is waited for in the slot this long; then the chunk gives its slots back. */
const MAX_TURN_MS = 5000;
/** How long a line waits for others to show whether the cost cap leaves room for it, and between two looks. */
const MAX_ROOM_MS = 10_000;
const ROOM_EVERY_MS = 200;

type Line = { held: HeldChunk; line: HeldLine; parsed: BatchLine };

/** A line as its processor sees it: a job that has no record. */
const lineJob = ({ held, line, parsed }: Line, nowMs: number): JobRecord => {
  const { spec, id } = held.batch;
  const { call } = parsed;
  return {
    id: `${id}:${line.line}`,
    spec: {
      tenant: spec.tenant,
      keyId: spec.keyId,
      type: call.type,
      trigger: { label: call.type, confidence: 1, source: 'request' },
      model: call.model,
      input: call.input,
      inputPreview: previewOf(call.input.text),
      parameters: call.parameters,
      system: spec.system === undefined ? { source: 'installation' } : { source: 'key', text: spec.system },
      urls: [],
      warnings: [],
      metadata: call.metadata,
      priority: 10,
      endpoint: spec.endpoint,
      echo: call.echo,
      ownedBlobIds: [],
    },
    status: 'in_progress',
    run: 1,
    createdMs: nowMs,
    attempts: [],
    earlierCalls: 0,
    warnings: [],
    pictures: {},
    cancelRequested: false,
  };
};

/** Calls under way may use up the cost cap: there may be room for this one when they have ended. */
class NoRoomYet extends Error {}

/** Writes the call down before it is made. @throws LineStop, NoRoomYet, AppError `attempts_exhausted`. */
const begin = async (deps: Deps, { held, line }: Line): Promise<void> => {
  const begun = await beginLine(deps, line, held.batch.spec.maxCostUsd);
  if (begun === 'wait') throw new NoRoomYet();
  if (begun === 'spent') throw new AppError('attempts_exhausted', 'Every call of this line failed.');
  if (begun !== 'begun') throw new LineStop(begun);
};

/** What a processor is given for a line, and whether its last call is open in the ledger or was answered. */
export type LineRun = Run & { isOpen: () => boolean; isAnswered: () => boolean };

/** The run of one go at a line: calls at the pace of batches, each in the ledger before it is made. */
export const lineRun = (deps: Deps, one: Line): LineRun => {
  const { held, line, parsed } = one;
  const { call } = parsed;
  const images = call.type !== 'image' ? 0 : typeof call.parameters['n'] === 'number' ? call.parameters['n'] : 1;
  let isOpen = false;
  let isAnswered = false;

  const callInTurn = <T>(target: Target, make: (target: Target, options: CallOptions) => Promise<T>): Promise<T> => {
    const wanted = { provider: target.provider.name, model: target.model, class: 'batch', images, maxWaitMs: MAX_TURN_MS, signal: held.stopping } as const;
    return paced(deps.pacer, wanted, async (options) => {
      if (held.stopping.aborted) throw new LineStop(held.hold.reason() === 'cancel' ? 'stopped' : 'wait');
      await begin(deps, one);
      isOpen = true;
      const result = await make(target, { ...options, signal: held.calls });
      isAnswered = true;
      return result;
    });
  };

  /** Room under the cap is waited for without a turn at the provider, which others can use meanwhile. */
  const callOne = async <T>(target: Target, make: (target: Target, options: CallOptions) => Promise<T>): Promise<T> => {
    const untilMs = performance.now() + MAX_ROOM_MS;
    for (;;) {
      try {
        return await callInTurn(target, make);
      } catch (thrown) {
        if (!(thrown instanceof NoRoomYet)) throw thrown;
        if (performance.now() > untilMs || held.stopping.aborted) throw new LineStop('wait', MAX_ROOM_MS);
        await sleep(ROOM_EVERY_MS);
      }
    }
  };

  const callFirst: Run['call'] = async (targets, make) => {
    for (const [at, target] of targets.entries()) {
      try {
        return { result: await callOne(target, make), target };
      } catch (thrown) {
        if (thrown instanceof LineStop) throw thrown;
        if (held.stopping.aborted && !isOpen) throw new LineStop(held.hold.reason() === 'cancel' ? 'stopped' : 'wait');
        const error = toAppError(thrown);
        if (error.code !== 'provider_model_missing' || at === targets.length - 1) throw error;
        deps.providers.noteMissing(target.provider.name, target.model);
        if (!(await persist(held.hold, () => reopenLine(deps, line, true)))) throw new LineStop('lost');
        isOpen = false;
      }
    }
    throw new AppError('model_not_available', 'No provider serves this model.', { param: 'model' });
  };

  return {
    job: lineJob(one, deps.now()),
    input: call.input,
    signal: held.calls,
    call: callFirst,
    persist: (step) => persist(held.hold, step),
    emit: () => undefined,
    isOpen: () => isOpen,
    isAnswered: () => isAnswered,
  };
};

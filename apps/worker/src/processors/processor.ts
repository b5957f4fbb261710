import type { Deps } from '@fana/core/deps.ts';
import type { JobInput, JobOutput, JobRecord, Source, Usage } from '@fana/core/jobs/job.ts';
import type { CallOptions, ChoiceDelta, Target } from '@fana/core/providers/provider.ts';
import type { KeptPictures } from '@fana/core/web/read-pictures.ts';
import type { SessionRun } from '../session-run.ts';

/** What a processor may do while it holds a job: see `runJob`. */
export type Run = {
  job: JobRecord;
  /** The input, read back from its blob if it was long. */
  input: JobInput;
  /** The linked pictures this job has stored; a line of a batch stores none. */
  pictures?: KeptPictures;
  /** Unset for what has no session: compatible calls, lines of batches. */
  session?: SessionRun;
  /** Aborted by cancel, shutdown, deadline and the loss of the lease. */
  signal: AbortSignal;
  /**
   * Makes one provider call, when it is its turn: its line is in the ledger before `call` runs, which passes `options` on to the provider.
   * Serves the targets in order: the next one only when the account lacks the model before it.
   */
  call: <T>(targets: Target[], call: (target: Target, options: CallOptions) => Promise<T>) => Promise<{ result: T; target: Target }>;
  /** Closes the line of a call that was answered, before the next one: an ingest makes several. A line of a batch makes one. */
  settle?: () => Promise<void>;
  /** Writes down something that was paid for, however long Redis takes no writes: see persist.ts. */
  persist: <T>(step: () => Promise<T>) => Promise<T>;
  /** Publishes a piece of an answer. */
  emit: (piece: ChoiceDelta) => void;
};

/** What a run made; `costUsd` is unset where no price is known. */
export type ProcessResult = {
  output: JobOutput;
  usage: Usage;
  servedBy: { provider: string; model: string };
  warnings: string[];
  costUsd?: number | undefined;
  sources?: Source[];
  /** Blobs of the output that this machine keeps aside, because the store is away. */
  asideBlobIds?: string[];
};

/** Runs one job type. Throws AppError; everything else is for `runJob` to decide. */
export type Processor = (deps: Deps, run: Run) => Promise<ProcessResult>;

import { readBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { renameId } from '../ids.ts';
import type { ImageRef, JobInput, JobRecord } from '../jobs/job.ts';
import { readOutput } from '../jobs/long-texts.ts';
import { presentOutput } from '../jobs/present.ts';
import { readJob } from '../jobs/store.ts';
import { isEnded, type Turn, turnOf } from './turn.ts';

type ReadDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/** What a turn said and showed. */
type TurnInput = { text: string; images: ImageRef[] };

/** A long text lives as long as blobs do; after that the turn has none. */
const orGone = async <T>(read: Promise<T>): Promise<T | undefined> => {
  try {
    return await read;
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return undefined;
    throw error;
  }
};

/** The message of a turn, wherever it is kept; undefined when its blob has expired. @throws AppError `storage_error`, `unavailable`. */
export const readTurnInput = async (deps: Pick<Deps, 'redis' | 'blobs' | 'now'>, tenant: string, turn: Turn): Promise<TurnInput | undefined> => {
  if (turn.inputBlobId === undefined) return { text: turn.text ?? '', images: turn.images ?? [] };
  const blob = await orGone(readBlob(deps, turn.inputBlobId, tenant));
  if (!blob) return undefined;
  const { text, images }: JobInput = JSON.parse(blob.bytes.toString());
  return { text, images: [...images, ...(turn.images ?? [])] };
};

/** The answer of a turn, wherever it is kept; undefined when there is none, or its blob has expired. @throws AppError `storage_error`, `unavailable`. */
export const readTurnOutput = (deps: Pick<Deps, 'redis' | 'blobs' | 'now'>, tenant: string, turn: Turn): ReturnType<typeof readOutput> =>
  orGone(
    readOutput(deps, {
      spec: { tenant },
      ...(turn.output && { output: turn.output }),
      ...(turn.outputBlobId !== undefined && { outputBlobId: turn.outputBlobId }),
    }),
  );

const presentImage = (image: ImageRef) => (image.kind === 'blob' ? { blob_id: image.blobId } : { url: image.url });

/** Until its job has ended, a turn is what the job was asked. */
const current = (turn: Turn, job: JobRecord | undefined): Turn => (isEnded(turn) || !job ? turn : turnOf(job, { status: job.status }));

/** A turn of a session as a client sees it. @throws AppError `storage_error`, `unavailable`. */
export const presentTurn = async (deps: ReadDeps, tenant: string, stored: Turn) => {
  const turn = current(stored, isEnded(stored) ? undefined : await readJob(deps.redis, stored.jobId));
  const [input, output] = await Promise.all([readTurnInput(deps, tenant, turn), readTurnOutput(deps, tenant, turn)]);
  return {
    id: renameId('turn', turn.jobId),
    object: 'turn' as const,
    job_id: turn.jobId,
    input: input ? { text: input.text, images: input.images.map(presentImage) } : null,
    output: output?.kind !== 'text' && output?.kind !== 'images' ? null : presentOutput(deps.config, output, turn.language ?? null),
    created_at: Math.floor(turn.createdMs / 1000),
  };
};

import { type ImageRef, isTerminal, type JobOutput, type JobRecord, type JobStatus, type StoredImage } from '../jobs/job.ts';
import { keptBlobId } from '../jobs/picture-field.ts';

/**
 * What a session remembers of one of its jobs: kept as long as the session, whatever becomes of the job. `status` is unset until the job has
 * ended. Texts that are too long for Redis stay in the blobs of the job (`inputBlobId`, `outputBlobId`), which the turn then owns.
 */
export type Turn = {
  jobId: string;
  createdMs: number;
  status?: JobStatus;
  text?: string;
  /** Pictures that were shown: attached or linked ones. */
  images?: ImageRef[];
  inputBlobId?: string;
  output?: JobOutput;
  outputBlobId?: string;
  /** The language it was answered in. */
  language?: string;
  /** What the turn takes of a window (tokens.ts), by its texts and by the pictures that are shown in it. Unset: it was not answered. */
  tokens?: { text: number; pictures: number };
  /** Everything the turn owns in the blob store but the pictures it made. */
  blobIds?: string[];
};

type Line = Omit<Turn, 'jobId' | 'createdMs'> & { job: string; at: number };

/** As it is written: the tokens of its texts and of its pictures (`-`: it is in no window), then the rest. window.lua reads the numbers alone. */
export const encodeTurn = ({ jobId, createdMs, ...rest }: Turn): string => {
  const line: Line = { job: jobId, at: createdMs, ...rest };
  return `${rest.tokens ? `${rest.tokens.text}+${rest.tokens.pictures}` : '-'} ${JSON.stringify(line)}`;
};

/** The inverse of `encodeTurn`. */
export const decodeTurn = (text: string): Turn => {
  const { job, at, ...rest }: Line = JSON.parse(text.slice(text.indexOf(' ') + 1));
  return { jobId: job, createdMs: at, ...rest };
};

/** Pictures of a job by what it keeps of them: a linked one that was read is the blob that was stored then. */
const shownPictures = (job: JobRecord, images: ImageRef[]): ImageRef[] => {
  const linked = job.spec.urls.flatMap(({ url, kind }): ImageRef[] => (kind === 'image' ? [{ kind: 'url', url }] : []));
  return [...images, ...linked].map((image) => {
    const blobId = image.kind === 'url' ? keptBlobId(job, image.url) : undefined;
    return blobId === undefined ? image : { kind: 'blob', blobId };
  });
};

/** What ended a run, as far as a turn remembers it. `images`: pictures of earlier turns that were shown in it. */
export type TurnEnd = {
  status: JobStatus;
  output?: JobOutput | undefined;
  outputBlobId?: string | undefined;
  tokens?: Turn['tokens'] | undefined;
  images?: ImageRef[];
};

/** The turn of a job that has ended. */
export const turnOf = (job: JobRecord, { status, output, outputBlobId, tokens, images: earlier = [] }: TurnEnd): Turn => {
  const { spec } = job;
  const language = spec.language ?? job.language;
  const images = [...shownPictures(job, spec.input?.images ?? []), ...earlier];
  const blobIds = [...spec.ownedBlobIds, ...Object.values(job.pictures), ...(outputBlobId === undefined ? [] : [outputBlobId])];
  return {
    jobId: job.id,
    createdMs: job.createdMs,
    status,
    ...(spec.input ? { text: spec.input.text } : spec.inputBlobId !== undefined && { inputBlobId: spec.inputBlobId }),
    ...(images.length > 0 && { images }),
    ...(outputBlobId !== undefined ? { outputBlobId } : output && { output }),
    ...(language !== undefined && { language }),
    ...(tokens && { tokens }),
    ...(blobIds.length > 0 && { blobIds }),
  };
};

/** Pictures that a turn made. */
export const madePictures = (output: JobOutput | undefined): StoredImage[] => (output?.kind === 'images' ? output.images : []);

/** Whether the job has ended: until then its turn is read from the job. */
export const isEnded = ({ status }: Turn): boolean => status !== undefined && isTerminal(status);

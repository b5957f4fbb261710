import { readBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { JobInput, JobOutput, JobSpec } from './job.ts';

/** Whether a text may hold the bytes of a picture, in a data URL: then it is no part of a record, however short (promise 6). */
export const mayHoldBytes = (text: string): boolean => text.includes(';base64,');

/** The input of a job, wherever it lives. @throws AppError `storage_error`, `not_found`. */
export const readInput = async (deps: Pick<Deps, 'redis' | 'blobs' | 'now'>, spec: Pick<JobSpec, 'tenant' | 'input' | 'inputBlobId'>): Promise<JobInput> => {
  if (spec.input) return spec.input;
  if (!spec.inputBlobId) throw new AppError('internal_error', 'The job has no input.');
  const { bytes } = await readBlob(deps, spec.inputBlobId, spec.tenant);
  return JSON.parse(bytes.toString());
};

/** The parameters of a job, wherever they live. @throws AppError `storage_error`, `not_found`. */
export const readParameters = async (
  deps: Pick<Deps, 'redis' | 'blobs' | 'now'>,
  { tenant, parameters, parametersBlobId }: Pick<JobSpec, 'tenant' | 'parameters' | 'parametersBlobId'>,
): Promise<JobSpec['parameters']> => {
  if (!parametersBlobId) return parameters;
  const { bytes } = await readBlob(deps, parametersBlobId, tenant);
  return JSON.parse(bytes.toString());
};

/** The output of a job, wherever it lives; undefined while there is none. @throws AppError `storage_error`, `not_found`. */
export const readOutput = async (
  deps: Pick<Deps, 'redis' | 'blobs' | 'now'>,
  { output, outputBlobId, spec: { tenant } }: { output?: JobOutput; outputBlobId?: string; spec: Pick<JobSpec, 'tenant'> },
): Promise<JobOutput | undefined> => {
  if (outputBlobId === undefined) return output;
  const { bytes } = await readBlob(deps, outputBlobId, tenant);
  return JSON.parse(bytes.toString());
};

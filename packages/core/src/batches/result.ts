import type { Finished, PresentDeps } from '../endpoints/endpoint.ts';
import type { EndpointError } from '../endpoints/error.ts';
import { type BatchEndpointName, ENDPOINTS } from '../endpoints/table.ts';
import { AppError } from '../errors.ts';

/** A completed line, as far as its reply tells of it. */
export type FinishedLine = Omit<Finished, 'id' | 'spec'> & { spec: Omit<Finished['spec'], 'tenant'> };

/** What a line came to. Pictures are named by their blobs: no result holds bytes (promise 6). */
export type LineResult = { line: number; customId: string } & (
  | { kind: 'completed'; finished: FinishedLine }
  /** The same, too long for Redis: a blob has the `FinishedLine`. */
  | { kind: 'completed_long'; blobId: string }
  /** There is a reply to tell of: the provider's refusal, or what our own route would have answered. */
  | { kind: 'refused'; reply: EndpointError }
  /** There is none: nobody knows what became of the call, or the batch ended before it. */
  | { kind: 'ended'; error: { code: string; message: string } }
);

/** A result and its place in the order of ending, from 1. */
export type NumberedResult = { number: number; result: LineResult };

/** Reads what `chunkResults` and parts hold: number, space, JSON. */
export const decodeResult = (text: string): NumberedResult => {
  const space = text.indexOf(' ');
  return { number: Number(text.slice(0, space)), result: JSON.parse(text.slice(space + 1)) };
};

const random = (batchId: string): string => batchId.slice(batchId.indexOf('_') + 1);

/** The id of a finished line; its number is the cursor of `GET /v1/batches/{id}/results`. */
const lineId = (batchId: string, number: number): string => `batch_req_${random(batchId)}_${number}`;

/** The number in a line's id; undefined when it is none of this batch. */
export const numberOfLineId = (batchId: string, id: string): number | undefined => {
  const prefix = lineId(batchId, 0).slice(0, -1);
  const number = id.startsWith(prefix) ? id.slice(prefix.length) : '';
  return /^[1-9]\d{0,8}$/.test(number) ? Number(number) : undefined;
};

export type ResultView = {
  id: string;
  custom_id: string;
  response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  error: { code: string; message: string } | null;
};

const readLong = async (deps: PresentDeps, blobId: string): Promise<FinishedLine> => JSON.parse((await deps.blobs.read(blobId)).toString());

/** Whether a line has a result, and its place is the output file. */
export const isCompleted = ({ kind }: LineResult): boolean => kind === 'completed' || kind === 'completed_long';

type Batch = { id: string; spec: { tenant: string; endpoint: BatchEndpointName } };

/** A finished line as OpenAI's output and error files have it. @throws AppError `storage_error`, `not_found` when its picture is gone. */
export const presentResult = async (deps: PresentDeps, batch: Batch, { number, result }: NumberedResult): Promise<ResultView> => {
  const id = lineId(batch.id, number);
  const view = { id, custom_id: result.customId };
  if (result.kind === 'ended') return { ...view, response: null, error: result.error };
  const requestId = `req_${random(batch.id)}_${number}`;
  if (result.kind === 'refused') {
    const { status, error } = result.reply;
    return { ...view, response: { status_code: status, request_id: requestId, body: { error } }, error: null };
  }
  const finished = result.kind === 'completed' ? result.finished : await readLong(deps, result.blobId);
  const endpoint = ENDPOINTS[batch.spec.endpoint];
  const body = await endpoint.present(deps, {
    ...finished,
    id: `job_${random(batch.id)}${number}`,
    spec: { ...finished.spec, tenant: batch.spec.tenant },
  });
  return { ...view, response: { status_code: 200, request_id: requestId, body }, error: null };
};

/** As `presentResult`; a line whose picture is gone says so. One that was deleted must not keep the others from their file or page. */
export const presentLasting = async (deps: PresentDeps, batch: Batch, { number, result }: NumberedResult): Promise<ResultView> => {
  try {
    return await presentResult(deps, batch, { number, result });
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code !== 'not_found') throw thrown;
    const error = { code: 'result_deleted', message: 'The line was completed, but what it made has been deleted since.' };
    return presentResult(deps, batch, { number, result: { line: result.line, customId: result.customId, kind: 'ended', error } });
  }
};

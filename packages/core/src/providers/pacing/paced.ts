import { toAppError } from '../../errors.ts';
import type { CallOptions } from '../provider.ts';
import { paceOutcome } from './outcome.ts';
import type { PaceRequest, Pacer } from './pacer.ts';

/**
 * Waits for the turn of a provider call, makes it, and tells the pacer what became of it. `call` passes its options on to the provider.
 * @throws what `acquire` and `call` throw
 */
export const paced = async <T>(pacer: Pacer, wanted: PaceRequest, call: (options: CallOptions) => Promise<T>): Promise<T> => {
  const permit = await pacer.acquire(wanted);
  let heard: Headers | undefined;
  try {
    const result = await call({
      signal: wanted.signal,
      onReply: (_status, headers) => {
        heard = headers;
      },
    });
    permit.done({ kind: 'ok', ...(heard && { headers: heard }) });
    return result;
  } catch (thrown) {
    permit.done(paceOutcome(toAppError(thrown)));
    throw thrown;
  }
};

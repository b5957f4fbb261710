import { moveAllAside } from '@fana/core/blobs/aside.ts';
import type { Deps } from '@fana/core/deps.ts';
import { toAppError } from '@fana/core/errors.ts';

const EVERY_MS = 1000;

/** Moves what this machine keeps aside into the blob store, from the start of the process on; also what a process before it has left. */
export const createAsideMover = (deps: Deps): { close: () => void } => {
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const again = (): void => {
    if (!isClosed) timer = setTimeout(() => void move(), EVERY_MS);
  };
  const move = async (): Promise<void> => {
    try {
      const moved = await moveAllAside(deps);
      if (moved > 0) deps.logger.info({ moved }, 'what was kept aside is in the blob store');
    } catch (thrown) {
      // Said when it was kept; that the store, or Redis, is still away is no news.
      deps.logger.debug({ err: thrown, code: toAppError(thrown).code }, 'what is kept aside cannot be moved yet');
    } finally {
      again();
    }
  };
  void move();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
};

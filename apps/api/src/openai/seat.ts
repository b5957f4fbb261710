import type { ServerResponse } from 'node:http';
import type { Place } from '@fana/core/jobs/store.ts';
import type { Context } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';

/** One caller at its job, until its reply is out or it has gone. */
export type Seat = {
  /** The reply under way is the last word on the job: once its last byte is handed to the socket, nobody joins the job any more. */
  markFinal: () => void;
  /** The reply is made (`delivered`: and it is the last word). Without a socket (a call in this process) it is thereby delivered. */
  close: (how?: 'delivered') => Promise<void>;
};

const socketOf = (c: Context<Environment>): ServerResponse | undefined => (c.env as { outgoing?: ServerResponse } | undefined)?.outgoing;

/** Takes the seat at a job whose place was given to this request. */
export const sitDown = (deps: Pick<ApiDeps, 'waiters'>, c: Context<Environment>, jobId: string, place: Place): Seat => {
  let isFinal = false;
  let isLeft = false;
  const leave = async (delivered: boolean): Promise<void> => {
    if (isLeft) return;
    isLeft = true;
    await deps.waiters.leave(jobId, place, delivered);
  };
  deps.waiters.hold(jobId, place);
  const outgoing = socketOf(c);
  outgoing?.once('finish', () => void leave(isFinal));
  outgoing?.once('close', () => void leave(false));
  // It may have gone while it was accepted.
  if (outgoing?.destroyed) void leave(false);
  return {
    markFinal() {
      isFinal = true;
    },
    async close(how) {
      isFinal ||= how === 'delivered';
      if (!outgoing) await leave(isFinal);
    },
  };
};

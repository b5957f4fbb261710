import { AppError } from '@fana/core/errors.ts';

/** Contract 3: compatible routes block at most this long. */
export const BLOCK_SECONDS = 280;

/** What a caller is told whose job goes on without it: its SDK asks again and joins the job. */
export const stillRunning = (): AppError =>
  new AppError('still_running', 'The job is still running: send the request again to wait on, or read the job.', { retryAfterMs: 1000 });

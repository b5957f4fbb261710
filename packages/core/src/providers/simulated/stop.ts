import { AppError } from '../../errors.ts';

/** Ends a simulated call that was given up. Nothing was sent anywhere. */
export const throwIfStopped = (signal: AbortSignal): void => {
  if (signal.aborted) throw new AppError('cancelled', 'The simulated call was stopped.', { provider: { outcome: 'not_sent' } });
};

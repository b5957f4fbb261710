import { EventEmitter } from 'node:events';
import { jobChannel } from '@fana/core/jobs/store.ts';
import type { Redis } from 'ioredis';

export type JobWatcher = {
  /**
   * Calls `onChange` whenever the job published something, until the returned function is called; `ended` when its run has ended.
   * Resolves when the subscription is in force: what happens from then on is heard; what came before is read from the record or stream.
   */
  watch: (jobId: string, onChange: (ended: boolean) => void) => Promise<() => void>;
  /** Whether the process is about to end: nobody is to wait any longer. */
  isClosing: () => boolean;
  /** Wakes everybody who watches, as if their job had ended: they answer with what there is. */
  close: () => void;
};

/** One subscriber connection for all waiting requests and streams of this process. */
export const createJobWatcher = (subscriber: Redis): JobWatcher => {
  const listeners = new EventEmitter();
  listeners.setMaxListeners(0);
  subscriber.on('message', (channel: string, status: string) => listeners.emit(channel, status !== ''));

  let closing = false;

  return {
    isClosing: () => closing,
    close() {
      closing = true;
      for (const channel of listeners.eventNames()) listeners.emit(channel, true);
    },
    async watch(jobId, onChange) {
      const channel = jobChannel(jobId);
      listeners.on(channel, onChange);
      const stop = (): void => {
        listeners.off(channel, onChange);
        // A failed UNSUBSCRIBE costs nothing but a message nobody hears; the reconnect starts from what is still wanted.
        if (listeners.listenerCount(channel) === 0) subscriber.unsubscribe(channel).catch(() => undefined);
      };
      try {
        await subscriber.subscribe(channel);
      } catch (error) {
        stop();
        throw error;
      }
      return stop;
    },
  };
};

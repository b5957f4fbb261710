import type { Limits } from './call.ts';

const MEGABYTE = 1_000_000;

/** Of a chat or vision call. */
export const CHAT_LIMITS: Limits = { firstByteMs: 60_000, idleMs: 60_000, totalMs: 600_000, maxBytes: 20 * MEGABYTE };

/** Of an embedding call: 2048 vectors of 3072 numbers are 75 MB as decimals. */
export const EMBEDDING_LIMITS: Limits = { firstByteMs: 120_000, idleMs: 60_000, totalMs: 300_000, maxBytes: 128 * MEGABYTE };

/**
 * Of a picture call: a picture takes its maker minutes, and nothing is sent before it is done. `n` pictures come as base64 in one
 * reply. A lost connection would leave a paid picture in the open, so an idle one is never used again.
 */
export const imageLimits = (n: number): Limits => ({
  firstByteMs: 300_000,
  idleMs: 60_000,
  totalMs: 600_000,
  maxBytes: Math.min(256, 60 + 40 * n) * MEGABYTE,
  ownConnection: true,
});

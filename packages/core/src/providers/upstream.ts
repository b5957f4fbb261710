import { Agent } from 'undici';
import { type Call, createCall, type Limits } from './call.ts';
import type { CallOptions } from './provider.ts';

/** The one way of providers to the network: `begin` prepares one call under `limits`, given up by its `signal`. */
export type Upstream = { begin: (limits: Limits, options: CallOptions) => Call };

/** How long connecting may take. */
const CONNECT_MS = 10_000;

/**
 * HTTP/1.1 alone, because there the moment of writing is known exactly and no stream of a shared connection is refused and sent
 * again. Nothing is retried here. Idle connections do not hold a process open.
 */
export const createUpstream = (connectMs: number = CONNECT_MS): Upstream => {
  const options = { allowH2: false, connect: { timeout: connectMs } };
  const kept = new Agent({ ...options, pipelining: 1 });
  // 0 closes each connection after its one reply.
  const single = new Agent({ ...options, pipelining: 0 });
  return { begin: (limits, options) => createCall(limits.ownConnection ? single : kept, limits, options) };
};

import type { Caller } from '@fana/core/tenants/caller.ts';

/** What middleware leaves on a request: hono's `Variables`. */
export type Environment = { Variables: { requestId: string; caller: Caller } };

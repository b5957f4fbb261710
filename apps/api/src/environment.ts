import type { Caller } from '@fana/core/tenants/caller.ts';

/** What middleware leaves on a request: hono's `Variables`. `sealed`: the reply has its headers already (reply.ts). `isCompatible`: errors are OpenAI's. */
export type Environment = { Variables: { requestId: string; caller: Caller; sealed?: boolean; isCompatible?: boolean } };

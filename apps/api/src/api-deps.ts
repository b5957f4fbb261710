import type { Deps } from '@fana/core/deps.ts';
import type { Acceptor } from '@fana/core/jobs/acceptor.ts';
import type { KeyRing } from '@fana/core/tenants/keys.ts';
import type { JobWatcher } from './job-watcher.ts';
import type { Waiters } from './openai/waiters.ts';

/** The world of the API: core's, the group commit, who may call, and what jobs tell while they run, who waits for them. */
export type ApiDeps = Deps & { acceptor: Acceptor; keys: KeyRing; watcher: JobWatcher; waiters: Waiters };

import { setTimeout as sleep } from 'node:timers/promises';
import { toAppError } from '@fana/core/errors.ts';
import { createOpenai } from '@fana/core/providers/openai/create.ts';
import { paced } from '@fana/core/providers/pacing/paced.ts';
import { createUpstream } from '@fana/core/providers/upstream.ts';
import { testDeps } from '@fana/testkit/test-deps.ts';

// A process that makes pictures as batches do: more at once than there is room for, back when it is told to.
const { REDIS_URL = '', OPENAI_BASE_URL = '', LIMITS = '', AT_ONCE = '100' } = process.env;
const deps = testDeps(REDIS_URL, LIMITS === '' ? {} : { FANA_PROVIDER_LIMITS: LIMITS });
const provider = createOpenai({ apiKey: 'bench', baseUrl: OPENAI_BASE_URL }, createUpstream());
const wanted = { provider: 'openai', model: 'gpt-image-2', class: 'batch', images: 1, maxWaitMs: 5000, signal: new AbortController().signal } as const;
const request = { model: 'gpt-image-2', prompt: 'a fox', pictures: [], parameters: {} };

const work = async (): Promise<never> => {
  for (;;) {
    try {
      await paced(deps.pacer, wanted, async (options) => provider.image?.(request, options));
    } catch (thrown) {
      const error = toAppError(thrown);
      if (!error.retryable) throw error;
      await sleep(error.retryAfterMs ?? 1000);
    }
  }
};
for (let n = 0; n < Number(AT_ONCE); n++) void work();
console.log('caller is ready');

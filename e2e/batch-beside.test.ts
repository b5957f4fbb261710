import { setTimeout as sleep } from 'node:timers/promises';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { chatLine, createBatchClient } from './support/batch-client.ts';
import { endProcess, type Installation, startInstallation } from './support/installation.ts';

let upstream: FastUpstream;
let fana: Installation;

const start = async (options: { callMs?: number; workers: number; env?: Record<string, string> }): Promise<void> => {
  const { callMs = 0, workers, env = {} } = options;
  upstream = await startFastUpstream({
    behave: async ({ key }): Promise<'answer'> => {
      await sleep(key.startsWith('slow') ? callMs : 0);
      return 'answer';
    },
  });
  fana = await startInstallation({ env: { ...upstream.env, ...env }, workers });
};
afterEach(async () => {
  await fana.stop();
  await upstream.stop();
});

const chats = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => chatLine(`id-${n}`, `${prefix} ${n}`));
const endpoint = '/v1/chat/completions';

describe('workers that serve some queues only', () => {
  it('one for batches alone runs batches and no jobs, one without them runs jobs and no batch', async () => {
    await start({ workers: 0 });
    const client = createBatchClient(fana);
    const interactive = await fana.startWorker({ FANA_WORKER_QUEUES: 'chat,image,vision,embedding,webhook' });
    const batch = await client.create(chats('apart', 5), { endpoint });
    const first = await fana.submit({ type: 'chat', input: 'a chat without batches' });
    expect(await fana.ended(first.id)).toMatchObject({ status: 'completed' });
    // Longer than the sweep takes, which every worker runs.
    await sleep(4000);
    expect(await client.retrieve(batch.id)).toMatchObject({ status: 'validating', request_counts: { completed: 0 } });
    await endProcess(interactive, 'SIGTERM');

    const batches = await fana.startWorker({ FANA_WORKER_QUEUES: 'batch' });
    expect(await client.ended(batch.id)).toMatchObject({ status: 'completed', request_counts: { total: 5, completed: 5, failed: 0 } });
    const second = await fana.submit({ type: 'chat', input: 'a chat without anybody' });
    await sleep(4000);
    expect(await fana.job(second.id)).toMatchObject({ status: 'queued' });
    expect(upstream.calls.has('a chat without anybody')).toBe(false);
    await endProcess(batches, 'SIGTERM');
  });
});

describe('a chat beside a batch', () => {
  it('is answered at once by the same worker, although the lines of the batch fill everything they may', async () => {
    await start({ callMs: 2000, workers: 1 });
    const client = createBatchClient(fana);
    const batch = await client.create(chats('slow', 400), { endpoint });
    await client.until(batch.id, () => upstream.underWay().now >= 16);
    const tookMs: number[] = [];
    for (let n = 0; n < 5; n++) {
      const startedMs = Date.now();
      const answer = await client.openai.chat.completions.create({ model: 'chat-default', messages: [{ role: 'user', content: `quick ${n}` }] });
      tookMs.push(Date.now() - startedMs);
      expect(answer.choices[0]?.message.content).toBe(`re: quick ${n}`);
    }
    // Behind one round of lines it would be 2 s and more.
    expect(tookMs.toSorted((a, b) => a - b)[2]).toBeLessThan(1500);
    expect(await client.retrieve(batch.id)).toMatchObject({ status: 'in_progress' });
    expect(upstream.underWay().now).toBeGreaterThan(8);
    await client.openai.batches.cancel(batch.id);
    await client.ended(batch.id);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { startReceiver } from '@fana/testkit/webhook-receiver.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BatchClient, chatLine, createBatchClient, pictureLine } from './support/batch-client.ts';
import { type Installation, startInstallation } from './support/installation.ts';

let upstream: FastUpstream;
let fana: Installation;
let client: BatchClient;
/** What a call is answered after. */
let callMs = 0;
/** A 429 with this many seconds to wait instead, for prompts that begin with `paused`. */
let pausedSeconds: number | undefined;

beforeAll(async () => {
  upstream = await startFastUpstream({
    behave: async ({ key }) => {
      if (key.startsWith('paused') && pausedSeconds !== undefined) return { status: 429, headers: { 'retry-after': String(pausedSeconds) } };
      await sleep(callMs);
      return 'answer';
    },
  });
  fana = await startInstallation({ env: { ...upstream.env, FANA_CONCURRENCY_BATCH: '8', FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  client = createBatchClient(fana);
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});
beforeEach(() => {
  callMs = 0;
  pausedSeconds = undefined;
});

const total = (counts: Map<string, number>, prefix: string): number => [...counts].reduce((sum, [key, count]) => sum + (key.startsWith(prefix) ? count : 0), 0);
const pictures = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => pictureLine(`${prefix}-${n}`, `${prefix} ${n}`));
const idsOf = (prefix: string, count: number): Set<string> => new Set(Array.from({ length: count }, (_, n) => `${prefix}-${n}`));

describe('a batch that is cancelled while it runs', () => {
  it('makes no new calls, keeps what has ended and what is under way, and tells which lines were not begun', async () => {
    callMs = 700;
    const batch = await client.create(pictures('cancel', 400));
    await client.until(batch.id, ({ request_counts: counts }) => (counts?.completed ?? 0) >= 16);
    const cancelled = await client.openai.batches.cancel(batch.id);
    const answeredMs = Date.now();
    expect(cancelled).toMatchObject({ status: 'cancelling', cancelling_at: expect.any(Number) });
    // A second time changes nothing.
    expect(await client.openai.batches.cancel(batch.id)).toMatchObject({ status: expect.stringMatching(/^cancell/), cancelling_at: cancelled.cancelling_at });
    await sleep(Math.max(0, 2000 - (Date.now() - answeredMs)));
    const calls = total(upstream.calls, 'cancel');
    const done = await client.ended(batch.id);
    await sleep(1000);
    expect(total(upstream.calls, 'cancel')).toBe(calls);
    expect(done).toMatchObject({ status: 'cancelled', cancelled_at: expect.any(Number), errors: null });
    const { output, errors } = await client.filesOf(done);
    expect(new Set([...output.keys(), ...errors.keys()])).toEqual(idsOf('cancel', 400));
    // Every call that was made was paid for, and none of them is lost.
    expect(output.size).toBe(calls);
    expect(done.request_counts).toEqual({ total: 400, completed: output.size, failed: 0 });
    for (const [id, line] of errors) {
      expect(line).toMatchObject({ response: null, error: { code: 'batch_cancelled', message: expect.stringContaining('cancelled') } });
      expect(upstream.calls.has(id.replace('-', ' '))).toBe(false);
    }
    await expect(client.openai.batches.cancel(batch.id)).resolves.toMatchObject({ status: 'cancelled' });
  });

  it('ends at once although its provider asked to wait for an hour', async () => {
    pausedSeconds = 3600;
    const batch = await client.create(Array.from({ length: 70 }, (_, n) => pictureLine(`paused-${n}`, `paused ${n}`, { model: 'gpt-image-1' })));
    await client.until(batch.id, () => total(upstream.calls, 'paused') > 0);
    await sleep(1500);
    await client.openai.batches.cancel(batch.id);
    const startedMs = Date.now();
    const done = await client.ended(batch.id, 40_000);
    expect(Date.now() - startedMs).toBeLessThan(20_000);
    expect(done).toMatchObject({ status: 'cancelled', output_file_id: null, request_counts: { total: 70, completed: 0, failed: 0 } });
    expect((await client.filesOf(done)).errors.size).toBe(70);
  });
});

describe('a batch that is cancelled at other times', () => {
  it('before it runs: it ends without a call', async () => {
    const batch = await client.create(pictures('early', 5000));
    expect(await client.openai.batches.cancel(batch.id)).toMatchObject({ status: 'cancelling' });
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'cancelled', output_file_id: null });
    const { errors } = await client.filesOf(done);
    // Without a whole reading of the file there are no lines to tell of; after one every line is told of.
    expect([0, 5000]).toContain(errors.size);
    expect(total(upstream.calls, 'early')).toBe(0);
  });

  it('after it has ended: 409', async () => {
    const batch = await client.create(pictures('late', 1));
    await client.ended(batch.id);
    await expect(client.openai.batches.cancel(batch.id)).rejects.toMatchObject({ status: 409, code: 'batch_not_cancellable' });
  });

  it('its end is told once', async () => {
    const receiver = await startReceiver();
    callMs = 300;
    const batch = await client.create(pictures('told', 100), { webhook: { url: receiver.url } });
    await client.until(batch.id, ({ request_counts: counts }) => (counts?.completed ?? 0) > 0);
    await client.openai.batches.cancel(batch.id);
    await client.ended(batch.id);
    await receiver.waitFor(1);
    await sleep(1000);
    expect(receiver.requests.map(({ body }) => JSON.parse(body))).toMatchObject([{ type: 'batch.cancelled', data: { id: batch.id, status: 'cancelled' } }]);
    await receiver.stop();
  });
});

describe('a provider that asks to wait', () => {
  it('costs no attempt, and a batch of another model goes on beside it', async () => {
    pausedSeconds = 3;
    const waiting = await client.create(Array.from({ length: 20 }, (_, n) => pictureLine(`paused-${n}`, `paused twice ${n}`, { model: 'gpt-image-1.5' })));
    await client.until(waiting.id, () => total(upstream.calls, 'paused twice') > 0);
    const other = await client.ended(
      (
        await client.create(
          Array.from({ length: 30 }, (_, n) => chatLine(`other-${n}`, `other ${n}`)),
          { endpoint: '/v1/chat/completions' },
        )
      ).id,
    );
    expect(other).toMatchObject({ status: 'completed', request_counts: { total: 30, completed: 30, failed: 0 } });
    expect(await client.retrieve(waiting.id)).toMatchObject({ status: 'in_progress', request_counts: { completed: 0, failed: 0 } });
    // Long enough for more pauses than a line has attempts.
    await sleep(10_000);
    const asked = total(upstream.calls, 'paused twice');
    pausedSeconds = undefined;
    const done = await client.ended(waiting.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 20, completed: 20, failed: 0 } });
    // While it pauses only few try: not every line at every end of a pause.
    expect(asked).toBeLessThan(60);
    expect(total(upstream.answers, 'paused twice')).toBe(20);
  });
});

describe('an input file that is deleted while its batch runs', () => {
  it('the batch ends failed with what was done until then, and does not hang', async () => {
    callMs = 400;
    const batch = await client.create(pictures('gone', 800));
    await client.until(batch.id, ({ request_counts: counts }) => (counts?.completed ?? 0) > 0);
    await client.openai.files.delete(batch.input_file_id);
    const done = await client.ended(batch.id);
    expect(done.status).toBe('failed');
    expect(done.errors?.data?.[0]).toMatchObject({ code: 'input_file_deleted', param: 'input_file_id', message: expect.stringContaining('deleted') });
    const { output } = await client.filesOf(done);
    expect(output.size).toBe(total(upstream.calls, 'gone'));
    expect(done.request_counts).toMatchObject({ total: 800, completed: output.size, failed: 0 });
    const retried = await fana.request(`/v1/batches/${batch.id}/retry_failed`, { method: 'POST' });
    expect(retried.status).toBe(404);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { endProcess, type Installation, startInstallation } from './support/installation.ts';
import { lastText, startUpstream, type Upstream } from './support/upstream.ts';

const JOBS = 300;
let upstream: Upstream;
let receiver: WebhookReceiver;
let fana: Installation;
const calls = new Map<string, number>();

beforeAll(async () => {
  receiver = await startReceiver();
  upstream = await startUpstream(async (request) => {
    const text = lastText(request);
    calls.set(text, (calls.get(text) ?? 0) + 1);
    await sleep(400);
    return `answer to ${text}`;
  });
  fana = await startInstallation({
    env: { ...upstream.env, FANA_ALLOW_PRIVATE_NETWORK: 'true', FANA_CONCURRENCY_CHAT: '5', FANA_CONCURRENCY_WEBHOOK: '10' },
    workers: 3,
  });
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
  await receiver.stop();
});

it(`3 workers, ${JOBS} jobs, kill -9 of one worker every second: all end, none with more calls than attempts, each with its webhook`, async () => {
  const ids = new Map<string, string>();
  await Promise.all(
    Array.from({ length: JOBS }, async (_, n) => {
      const input = `question number ${n}`;
      const job = await fana.submit({ type: 'chat', input, webhook: { url: receiver.url } });
      ids.set(job.id, input);
    }),
  );
  let killing = true;
  let kills = 0;
  const killer = (async () => {
    while (killing) {
      await sleep(1000);
      const alive = fana.workers.filter(({ child }) => child.exitCode === null && child.signalCode === null);
      const victim = alive[kills % Math.max(1, alive.length)];
      if (!victim) continue;
      await endProcess(victim);
      kills++;
      await fana.startWorker();
    }
  })();
  const open = new Set(ids.keys());
  const end = Date.now() + 150_000;
  while (open.size > 0 && Date.now() < end) {
    for (const id of [...open].slice(0, 50)) {
      const { status } = await fana.job(id);
      if (['completed', 'failed', 'unknown_outcome', 'cancelled'].includes(status)) open.delete(id);
    }
    if (open.size === JOBS) await sleep(100);
    // After the first part the killing stops deciding how long it lasts, but goes on until half of the jobs have ended at least.
    if (kills >= 25 && open.size < JOBS / 2) killing = false;
  }
  killing = false;
  await killer;
  expect(open.size).toBe(0);

  const jobs = await Promise.all([...ids.keys()].map((id) => fana.job(id)));
  for (const job of jobs) {
    const made = calls.get(ids.get(job.id) ?? '') ?? 0;
    expect(made, `${job.id} ${JSON.stringify(job.attempts)}`).toBeLessThanOrEqual(job.attempts.length);
    expect(job.attempts.length).toBeLessThanOrEqual(3);
  }
  const completed = jobs.filter(({ status }) => status === 'completed').length;
  const total = [...calls.values()].reduce((sum, count) => sum + count, 0);
  console.log(`${kills} kills: ${completed} of ${JOBS} completed, ${total} provider calls`);
  expect(kills).toBeGreaterThanOrEqual(5);

  await expect.poll(() => new Set(receiver.requests.map(({ body }) => JSON.parse(body).data.id)).size, { timeout: 40_000 }).toBe(JOBS);
  const eventIds = new Map<string, Set<string>>();
  for (const { body, headers } of receiver.requests) {
    const { id, data } = JSON.parse(body);
    expect(headers['webhook-id']).toBe(id);
    eventIds.set(data.id, (eventIds.get(data.id) ?? new Set()).add(id));
  }
  for (const idsOfJob of eventIds.values()) expect(idsOfJob.size).toBe(1);
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Installation, startInstallation } from './support/installation.ts';

let fana: Installation;
beforeAll(async () => {
  fana = await startInstallation();
});
afterAll(() => fana.stop());

const post = async (): Promise<{ status: number; ms: number; id: string | undefined; code: string | undefined }> => {
  const from = performance.now();
  const response = await fana.request('/v1/jobs', { body: { type: 'chat', input: 'hello' } });
  const body = (await response.json()) as { id?: string; error?: { code: string } };
  return { status: response.status, ms: performance.now() - from, id: body.id, code: body.error?.code };
};

it('answers 503 within 2 s while Redis is stopped, stays alive, and ends every accepted job after its restart', async () => {
  const accepted: string[] = [];
  for (let n = 0; n < 20; n++) accepted.push((await post()).id ?? '');
  await fana.redis.kill();
  const refused = await Promise.all(Array.from({ length: 10 }, post));
  for (const { status, ms, code } of refused) {
    expect([status, code]).toEqual([503, 'unavailable']);
    expect(ms).toBeLessThan(2000);
  }
  expect((await fana.request('/healthz')).status).toBe(200);
  expect((await fana.request('/readyz')).status).toBe(503);

  await fana.redis.restart();
  await expect.poll(async () => (await fana.request('/readyz')).status, { timeout: 15_000 }).toBe(200);
  accepted.push((await fana.submit({ type: 'chat', input: 'after' })).id);
  for (const id of accepted) expect((await fana.ended(id)).status).toBe('completed');
});

it('answers 503 within 2 s while Redis hangs, and accepts again when it goes on', async () => {
  fana.redis.pause();
  try {
    const refused = await Promise.all(Array.from({ length: 5 }, post));
    for (const { status, ms } of refused) {
      expect(status).toBe(503);
      expect(ms).toBeLessThan(2000);
    }
    expect((await fana.request('/healthz')).status).toBe(200);
  } finally {
    fana.redis.resume();
  }
  await expect.poll(async () => (await post()).status, { timeout: 15_000 }).toBe(202);
  const { id } = await fana.submit({ type: 'chat', input: 'go on' });
  expect((await fana.ended(id)).status).toBe('completed');
});

it('the same Idempotency-Key sent again after a 503 gives one job', async () => {
  const send = (): Promise<Response> => fana.request('/v1/jobs', { body: { type: 'chat', input: 'once' }, headers: { 'idempotency-key': 'across-the-gap' } });
  fana.redis.pause();
  const refused = await send();
  expect(refused.status).toBe(503);
  fana.redis.resume();
  await expect.poll(async () => (await send()).status, { timeout: 15_000 }).toBe(202);
  const ids = new Set<string>();
  for (let n = 0; n < 5; n++) ids.add(((await (await send()).json()) as { id: string }).id);
  expect(ids.size).toBe(1);
  expect((await fana.ended([...ids][0] ?? '')).status).toBe('completed');
});

import type { AddressInfo } from 'node:net';
import { TEST_ADMIN_KEY } from '@fana/testkit/test-config.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Listening, listen } from '../src/listen.ts';
import { startTestApp, type TestApp } from './test-app.ts';

let test: TestApp;
let server: Listening;
let url = '';

beforeAll(async () => {
  test = await startTestApp();
  server = await listen(test.app, { port: 0, host: '127.0.0.1' });
  url = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.server.closeAllConnections();
  await test.stop();
});

const fetchJob = (path: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<Response> =>
  fetch(`${url}${path}`, { ...options, headers: { authorization: `Bearer ${TEST_ADMIN_KEY}`, 'content-type': 'application/json', ...options.headers } });

it('at the end of the process those who wait are answered as things stand, streams end, and no connection is left', async () => {
  const body = JSON.stringify({ type: 'chat', input: 'nobody works on this' });
  const { id } = (await (await fetchJob('/v1/jobs', { method: 'POST', body })).json()) as { id: string };
  const posted = fetchJob('/v1/jobs', { method: 'POST', body, headers: { prefer: 'wait=60' } });
  const polled = fetchJob(`/v1/jobs/${id}?wait=60`);
  const stream = await fetchJob(`/v1/jobs/${id}/events`);
  const events = stream.text();
  const waiting = Promise.all([posted, polled]);
  await expect(Promise.race([waiting, new Promise((resolve) => setTimeout(() => resolve('they wait'), 500))])).resolves.toBe('they wait');

  const from = Date.now();
  test.deps.watcher.close();
  await server.drain();
  expect(Date.now() - from).toBeLessThan(2000);

  const [accepted, current] = await waiting;
  expect(accepted.status).toBe(202);
  expect(accepted.headers.get('location')).toMatch(/^\/v1\/jobs\/job_/);
  expect(await accepted.json()).toMatchObject({ status: 'queued' });
  expect(current.status).toBe(200);
  expect(await current.json()).toMatchObject({ id, status: 'queued' });
  const text = await events;
  expect(text).toContain('event: job.queued');
  // A reader that hears this comes back soon, and goes on elsewhere where it left off.
  expect(text.endsWith('retry: 1000\n\n')).toBe(true);
  await expect(fetchJob(`/v1/jobs/${id}`)).rejects.toThrow();
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Installation, type Job, startInstallation } from './support/installation.ts';

let fana: Installation;
let keyA: string;
let keyB: string;
const newKey = async (body: Record<string, unknown>): Promise<string> =>
  ((await (await fana.request('/v1/admin/keys', { body })).json()) as { key: string }).key;

beforeAll(async () => {
  fana = await startInstallation();
  keyA = await newKey({ name: 'a', tenant: 'tenant-a', scopes: ['jobs', 'webhooks'] });
  keyB = await newKey({ name: 'b', tenant: 'tenant-b', scopes: ['jobs', 'webhooks'] });
});
afterAll(() => fana.stop());

it('tenant B sees 404 on every object of tenant A, the same as for one that does not exist', async () => {
  const submitted = await fana.request('/v1/jobs', { body: { type: 'image', input: 'a fox' }, key: keyA, headers: { prefer: 'wait=30' } });
  const job = (await submitted.json()) as Job;
  const blob = job.output?.images?.[0]?.blob_id ?? '';
  const nobody = 'job_0000000000000000000000';
  const answers: [string, string, string][] = [
    ['GET', `/v1/jobs/${job.id}`, `/v1/jobs/${nobody}`],
    ['GET', `/v1/jobs/${job.id}?wait=1`, `/v1/jobs/${nobody}?wait=1`],
    ['GET', `/v1/jobs/${job.id}/events`, `/v1/jobs/${nobody}/events`],
    ['POST', `/v1/jobs/${job.id}/cancel`, `/v1/jobs/${nobody}/cancel`],
    ['POST', `/v1/jobs/${job.id}/retry`, `/v1/jobs/${nobody}/retry`],
    ['DELETE', `/v1/jobs/${job.id}`, `/v1/jobs/${nobody}`],
    ['GET', `/v1/blobs/${blob}`, '/v1/blobs/blob_0000000000000000000000'],
  ];
  for (const [method, theirs, missing] of answers) {
    const foreign = await fana.request(theirs, { method, key: keyB });
    const absent = await fana.request(missing, { method, key: keyB });
    expect([method, theirs, foreign.status]).toEqual([method, theirs, 404]);
    expect(absent.status).toBe(404);
    const scrub = (text: string): string => text.replace(/(job|blob|req)_\w+/g, '$1_');
    expect(scrub(await foreign.text())).toBe(scrub(await absent.text()));
  }
  const use = await fana.request('/v1/jobs', { body: { input: { text: 'what is it?', images: [{ blob_id: blob }] } }, key: keyB });
  expect(use.status).toBe(404);
  const list = (await (await fana.request('/v1/jobs', { key: keyB })).json()) as { data: unknown[] };
  expect(list.data).toEqual([]);
  expect((await fana.request(`/v1/jobs/${job.id}`, { key: keyA })).status).toBe(200);
  expect((await fana.request(`/v1/blobs/${blob}`, { key: keyA })).status).toBe(200);
});

it('gives each tenant a webhook secret of its own', async () => {
  const secret = async (key: string): Promise<string> =>
    ((await (await fana.request('/v1/webhook_endpoints/default/secret', { key })).json()) as { secret: string }).secret;
  expect(await secret(keyA)).toMatch(/^whsec_/);
  expect(await secret(keyA)).toBe(await secret(keyA));
  expect(await secret(keyA)).not.toBe(await secret(keyB));
});

it('a revoked key is dead within 5 s', async () => {
  const created = (await (await fana.request('/v1/admin/keys', { body: { name: 'gone', tenant: 'tenant-c', scopes: ['jobs'] } })).json()) as {
    id: string;
    key: string;
  };
  expect((await fana.request('/v1/jobs', { key: created.key })).status).toBe(200);
  expect((await fana.request(`/v1/admin/keys/${created.id}`, { method: 'DELETE' })).status).toBe(200);
  await expect.poll(async () => (await fana.request('/v1/jobs', { key: created.key })).status, { timeout: 5000 }).toBe(401);
});

it('keys without a scope are refused without effect', async () => {
  const key = await newKey({ name: 'hooks only', tenant: 'tenant-d', scopes: ['webhooks'] });
  expect((await fana.request('/v1/jobs', { body: { input: 'hi' }, key })).status).toBe(403);
  expect((await fana.request('/v1/admin/keys', { key })).status).toBe(403);
  expect((await fana.request('/v1/jobs', { key: '' })).status).toBe(401);
});

import { saveBlob } from '@fana/core/blobs/store.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { keptPictures } from '@fana/core/jobs/kept-pictures.ts';
import { claimJob, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';

const URL_OF_PICTURE = 'https://example.com/a.png?key=secret';
let redis: TestRedis;
let deps: TestDeps;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const claimed = async () => {
  const body = { type: 'vision', input: `${URL_OF_PICTURE} what is it?` };
  const { job } = await submitJob(deps, createAcceptor(deps), { tenant: 't', keyId: 'key_t', requestsPerMinute: 0 }, body, { rawBody: '' });
  const claim = await claimJob(deps.redis, job.id, 1, 'lease_a');
  if (claim.kind !== 'claimed') throw new Error(claim.kind);
  return claim.job;
};
const stored = () => saveBlob(deps, { tenant: 't', bytes: Buffer.from('bytes of a picture'), mediaType: 'image/png' });

it('a linked picture that was stored is found again by a later attempt, and its address is not in the record', async () => {
  const job = await claimed();
  const blob = await stored();
  await keptPictures(deps.redis, job, 'lease_a').note(URL_OF_PICTURE, blob.id);
  const again = await readJob(deps.redis, job.id);
  expect(again && keptPictures(deps.redis, again, 'lease_b').blobIdOf(URL_OF_PICTURE)).toBe(blob.id);
  expect(Object.keys(again?.pictures ?? {}).join()).not.toContain('example.com');
});

it('a worker that has lost the job cannot add a picture to it', async () => {
  const job = await claimed();
  await expect(keptPictures(deps.redis, job, 'lease_other').note(URL_OF_PICTURE, 'blob_x')).rejects.toMatchObject({ code: 'lease_lost' });
});

it('stored pictures are erased with their job', async () => {
  const job = await claimed();
  const blob = await stored();
  await keptPictures(deps.redis, job, 'lease_a').note(URL_OF_PICTURE, blob.id);
  await deps.redis.hset(`fana:job:${job.id}`, 'status', 'queued');
  await cancelJob(deps, job);
  const ended = await readJob(deps.redis, job.id);
  if (!ended) throw new Error('gone');
  await eraseJob(deps, ended);
  await expect(deps.blobs.read(blob.id)).rejects.toMatchObject({ code: 'not_found' });
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Installation, startInstallation } from './support/installation.ts';
import { type ReceivedEvent, readServerSentEvents } from './support/server-sent-events.ts';

let fana: Installation;
beforeAll(async () => {
  fana = await startInstallation();
});
afterAll(() => fana.stop());

const LONG_QUESTION = `Tell me about rivers. ${'Say it at length. '.repeat(40)}`;

it('loses and repeats nothing when the stream is cut and resumed ten times', async () => {
  const job = await fana.submit({ type: 'chat', input: LONG_QUESTION });
  const received: ReceivedEvent[] = [];
  let cuts = 0;
  for (; cuts < 10; cuts++) {
    const last = received.at(-1)?.id;
    const response = await fana.request(`/v1/jobs/${job.id}/events`, { headers: last === undefined ? {} : { 'last-event-id': last } });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    received.push(...(await readServerSentEvents(response, (events) => events.length >= 1)));
  }
  const rest = await fana.request(`/v1/jobs/${job.id}/events`, { headers: { 'last-event-id': received.at(-1)?.id ?? '' } });
  received.push(...(await readServerSentEvents(rest)));
  expect(cuts).toBe(10);

  const whole = await readServerSentEvents(await fana.request(`/v1/jobs/${job.id}/events`));
  expect(received.map(({ id, type }) => ({ id, type }))).toEqual(whole.map(({ id, type }) => ({ id, type })));
  expect(received[0]?.type).toBe('job.queued');
  expect(received.filter(({ type }) => type === 'output.delta').length).toBeGreaterThan(10);
  const text = received.map(({ data }) => data.delta ?? '').join('');
  expect(received.every(({ data }) => Number.isInteger(data.created_at))).toBe(true);
  const end = received.at(-1);
  expect(end?.type).toBe('job.completed');
  expect(end?.data.job?.output?.text).toBe(text);
});

it('ends at once for a reader who has seen the end, and refuses an id that is none', async () => {
  const job = await fana.submit({ type: 'chat', input: 'hello' }, { prefer: 'wait=30' });
  const events = await readServerSentEvents(await fana.request(`/v1/jobs/${job.id}/events`));
  const again = await readServerSentEvents(await fana.request(`/v1/jobs/${job.id}/events`, { headers: { 'last-event-id': events.at(-1)?.id ?? '' } }));
  expect(again).toEqual([]);
  const bad = await fana.request(`/v1/jobs/${job.id}/events`, { headers: { 'last-event-id': 'nonsense' } });
  expect(bad.status).toBe(400);
  expect(await bad.json()).toMatchObject({ error: { param: 'Last-Event-ID' } });
});

it('follows nothing for a HEAD, whose answer has no body', async () => {
  const job = await fana.submit({ type: 'chat', input: 'later', run_at: Math.floor(Date.now() / 1000) + 1000 });
  const head = await fana.request(`/v1/jobs/${job.id}/events`, { method: 'HEAD' });
  expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  const { Redis } = await import('ioredis');
  const redis = new Redis(fana.redis.url);
  await expect.poll(() => redis.pubsub('NUMSUB', `fana:job:${job.id}`)).toEqual([`fana:job:${job.id}`, 0]);
  redis.disconnect();
});

it('shows the end of an ended job whose stream is gone', async () => {
  const job = await fana.submit({ type: 'chat', input: 'hello again' }, { prefer: 'wait=30' });
  const { Redis } = await import('ioredis');
  const redis = new Redis(fana.redis.url);
  await redis.del(`fana:events:${job.id}`);
  redis.disconnect();
  const events = await readServerSentEvents(await fana.request(`/v1/jobs/${job.id}/events`));
  expect(events.at(-1)).toMatchObject({ type: 'job.completed', data: { job: { status: 'completed' } } });
});

it('waits for the end on request, on submission and on reading', async () => {
  const waited = await fana.request('/v1/jobs', { body: { type: 'chat', input: 'hi' }, headers: { prefer: 'wait=30' } });
  expect(waited.status).toBe(200);
  expect(waited.headers.get('preference-applied')).toBe('wait=30');
  // RFC 7240 4.3: with both, the answer is asynchronous only when the wait was too short.
  const both = await fana.request('/v1/jobs', { body: { type: 'chat', input: 'hi' }, headers: { prefer: 'respond-async, wait=30' } });
  expect(both.status).toBe(200);
  const job = await fana.submit({ type: 'image', input: 'a fox' });
  const read = await fana.request(`/v1/jobs/${job.id}?wait=30`);
  expect(await read.json()).toMatchObject({ status: 'completed', type: 'image' });
  const bad = await fana.request(`/v1/jobs/${job.id}?wait=soon`);
  expect(bad.status).toBe(400);
});

import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answerChat, answerError, answerImage, type Behaviour, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { endProcess, type Installation, startInstallation } from './support/installation.ts';
import { readServerSentEvents } from './support/server-sent-events.ts';

let behave: Behaviour;
let upstream: FaultUpstream;
let fana: Installation;

beforeEach(async () => {
  upstream = await startFaultUpstream((request, response) => behave(request, response));
  fana = await startInstallation({ env: upstream.env });
});
afterEach(async () => {
  await fana.stop();
  await upstream.stop();
});

const arrived = (count: number): Promise<void> => expect.poll(() => upstream.bodies.length, { timeout: 10_000 }).toBe(count);

describe('a picture call', () => {
  it('whose worker is killed after the request was sent ends unknown_outcome, and is made again only by retry', async () => {
    behave = () => undefined;
    const { id } = await fana.submit({ type: 'image', input: 'a fox' });
    await arrived(1);
    await endProcess(fana.workers[0] as (typeof fana.workers)[0]);
    await fana.startWorker();
    const held = await fana.ended(id, 25_000);
    expect(held).toMatchObject({ status: 'unknown_outcome', error: { code: 'unknown_outcome' }, attempts: [{ number: 1, outcome: 'unknown' }] });
    expect(upstream.bodies).toHaveLength(1);

    behave = (_, response) => answerImage(response);
    expect((await fana.request(`/v1/jobs/${id}/retry`, { method: 'POST' })).status).toBe(202);
    const retried = await fana.ended(id);
    expect(retried).toMatchObject({ status: 'completed', attempts: [{ number: 1, outcome: 'completed' }] });
    expect(retried.warnings.join()).toContain('Earlier runs of this job made 1 provider call.');
    expect(upstream.bodies).toHaveLength(2);
  });

  it('answered 500 is retried', async () => {
    behave = ({ number }, response) => (number === 1 ? answerError(response, 500) : answerImage(response));
    const { id } = await fana.submit({ type: 'image', input: 'a fox' });
    expect(await fana.ended(id)).toMatchObject({
      status: 'completed',
      attempts: [{ outcome: 'failed', error: { code: 'provider_unavailable' } }, { outcome: 'completed' }],
    });
    expect(upstream.bodies).toHaveLength(2);
  });

  it('whose connection is cut after the request ends unknown_outcome without a second call', async () => {
    behave = (_, response) => {
      response.socket?.resetAndDestroy();
    };
    const { id } = await fana.submit({ type: 'image', input: 'a fox' });
    expect(await fana.ended(id)).toMatchObject({ status: 'unknown_outcome', attempts: [{ outcome: 'unknown' }] });
    await sleep(2500);
    expect(upstream.bodies).toHaveLength(1);
  });

  it('that is refused is never retried', async () => {
    behave = (_, response) => {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          error: { message: 'Your request was rejected by the safety system.', type: 'invalid_request_error', code: 'moderation_blocked', param: null },
        }),
      );
    };
    const { id } = await fana.submit({ type: 'image', input: 'a fox' });
    expect(await fana.ended(id)).toMatchObject({
      status: 'failed',
      error: { code: 'provider_refused', provider_code: 'moderation_blocked' },
      attempts: [{ outcome: 'refused' }],
    });
    expect(upstream.bodies).toHaveLength(1);
  });

  it('already sent ends cancelled with the outcome of its attempt unknown, and the upstream request is aborted within 2 s', async () => {
    let aborted: Promise<void> | undefined;
    behave = ({ closed }) => {
      aborted = closed;
    };
    const { id } = await fana.submit({ type: 'image', input: 'a fox' });
    await arrived(1);
    const from = Date.now();
    expect((await fana.request(`/v1/jobs/${id}/cancel`, { method: 'POST' })).status).toBe(200);
    await aborted;
    expect(Date.now() - from).toBeLessThan(2000);
    expect(await fana.ended(id)).toMatchObject({ status: 'cancelled', attempts: [{ outcome: 'unknown' }] });
  });
});

describe('a chat call', () => {
  it('whose worker is killed is run again within 20 s', async () => {
    behave = ({ number }, response) => (number === 1 ? undefined : answerChat(response, 'second'));
    const { id } = await fana.submit({ type: 'chat', input: 'hi' });
    await arrived(1);
    const killedAt = Date.now();
    await endProcess(fana.workers[0] as (typeof fana.workers)[0]);
    await fana.startWorker();
    await expect.poll(() => upstream.bodies.length, { timeout: 25_000, interval: 100 }).toBe(2);
    expect(Date.now() - killedAt).toBeLessThan(20_000);
    expect(await fana.ended(id)).toMatchObject({
      status: 'completed',
      output: { text: 'second' },
      attempts: [{ outcome: 'unknown' }, { outcome: 'completed' }],
    });
  });

  it('that keeps failing ends failed after three attempts', async () => {
    behave = (_, response) => answerError(response, 503);
    const { id } = await fana.submit({ type: 'chat', input: 'hi' });
    const job = await fana.ended(id);
    expect(job).toMatchObject({ status: 'failed', error: { code: 'provider_unavailable' } });
    expect(job.attempts).toHaveLength(3);
    expect(upstream.bodies).toHaveLength(3);
  });

  it('paused by 429 and 529 waits as long as it was told and loses no attempt', async () => {
    const at: number[] = [];
    behave = ({ number }, response) => {
      at.push(Date.now());
      if (number <= 2) return answerError(response, 429, { 'retry-after': '2' });
      if (number <= 4) return answerError(response, 529);
      return answerChat(response, 'at last');
    };
    const { id } = await fana.submit({ type: 'chat', input: 'hi' });
    const job = await fana.ended(id);
    expect(job.status).toBe('completed');
    expect(job.attempts.map(({ outcome }) => outcome)).toEqual(['paused', 'paused', 'paused', 'paused', 'completed']);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(1900);
  });

  it('answered with nothing ends completed, and its stream has a piece', async () => {
    behave = (_, response) => answerChat(response, '');
    const { id } = await fana.submit({ type: 'chat', input: 'hi' });
    expect(await fana.ended(id)).toMatchObject({ status: 'completed', output: { text: '' } });
    const events = await readServerSentEvents(await fana.request(`/v1/jobs/${id}/events`));
    expect(events.map(({ type }) => type)).toEqual(['job.queued', 'job.started', 'output.delta', 'job.completed']);
    expect(events[2]?.data.delta).toBe('');
  });

  it('with a spent quota is not retried', async () => {
    behave = (_, response) => {
      response.writeHead(429, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({ error: { message: 'You exceeded your current quota.', type: 'insufficient_quota', code: 'insufficient_quota', param: null } }),
      );
    };
    const { id } = await fana.submit({ type: 'chat', input: 'hi' });
    expect(await fana.ended(id)).toMatchObject({ status: 'failed', error: { code: 'provider_quota_exhausted' } });
    expect(upstream.bodies).toHaveLength(1);
  });

  it('is stopped at the deadline', async () => {
    behave = () => undefined;
    const { id } = await fana.submit({ type: 'chat', input: 'hi', deadline_seconds: 2 });
    expect(await fana.ended(id, 15_000)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect(upstream.bodies).toHaveLength(1);
  });
});

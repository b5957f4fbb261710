import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ReceivedRequest, type ReceiverOptions, startReceiver, type WebhookReceiver } from '@fana/testkit/webhook-receiver.ts';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerChat, answerError, answerImage, type Behaviour, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { endProcess, type Installation, startInstallation } from './support/installation.ts';

/** The word in a message decides what its provider call meets. */
const behave: Behaviour = async ({ path, body }, response) => {
  if (body.includes('HANG')) return;
  if (body.includes('RESET')) return void response.socket?.resetAndDestroy();
  if (body.includes('REFUSE')) return answerError(response, 400);
  await sleep(5);
  return path.includes('/images/') ? answerImage(response) : answerChat(response, 'an answer');
};

let upstream: FaultUpstream;
let fana: Installation;
let store: Redis;
let secret: string;
const receivers: WebhookReceiver[] = [];

const receiver = async (respond?: ReceiverOptions['respond']): Promise<WebhookReceiver> => {
  const started = await startReceiver(respond ? { respond } : {});
  receivers.push(started);
  return started;
};

const secretOf = async (installation: Installation, key?: string): Promise<string> => {
  const response = await installation.request('/v1/webhook_endpoints/default/secret', key === undefined ? {} : { key });
  return ((await response.json()) as { secret: string }).secret;
};

beforeAll(async () => {
  upstream = await startFaultUpstream(behave);
  fana = await startInstallation({ env: { ...upstream.env, FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  store = new Redis(fana.redis.url);
  secret = await secretOf(fana);
});
afterAll(async () => {
  store.disconnect();
  await fana.stop();
  await upstream.stop();
  await Promise.all(receivers.map((one) => one.stop()));
});

type Headers = Record<string, string>;
const headersOf = ({ headers }: ReceivedRequest): Headers => ({
  'webhook-id': String(headers['webhook-id']),
  'webhook-timestamp': String(headers['webhook-timestamp']),
  'webhook-signature': String(headers['webhook-signature']),
});
const openai = new OpenAI({ apiKey: 'unused', baseURL: 'http://127.0.0.1:9' });
/** What each verifier says: true = accepted. */
const verdicts = async (headers: Headers, body: string, by = secret): Promise<{ openai: boolean; standard: boolean }> => {
  const unwrapped = openai.webhooks.unwrap(body, headers, by).then(
    () => true,
    () => false,
  );
  const verified = (): boolean => {
    try {
      new Webhook(by).verify(body, headers);
      return true;
    } catch {
      return false;
    }
  };
  return { openai: await unwrapped, standard: verified() };
};
const flip = (text: string, byte: number, bit: number): string => {
  const bytes = Buffer.from(text);
  bytes[byte] = (bytes[byte] ?? 0) ^ (1 << bit);
  return bytes.toString();
};
const submitted = async (to: WebhookReceiver, body: Record<string, unknown> = {}, events?: string[]) =>
  fana.submit({ type: 'chat', input: 'hello', ...body, webhook: { url: to.url, ...(events && { events }) } });
const deliveryOf = async (jobId: string): Promise<Record<string, string>> =>
  store.hgetall(`fana:delivery:${(await store.hget(`fana:job:${jobId}`, 'deliveries')) ?? ''}`);

describe.concurrent('a delivered webhook', () => {
  it('is accepted by both verifiers, and refused after one flipped bit of id, timestamp or body', async ({ expect }) => {
    const to = await receiver();
    await submitted(to, { metadata: { order: '42' } });
    const [request] = await to.waitFor(1);
    if (!request) throw new Error('nothing came');
    const headers = headersOf(request);
    const accepted = { openai: true, standard: true };
    const refused = { openai: false, standard: false };
    expect(await verdicts(headers, request.body)).toEqual(accepted);
    for (const name of ['webhook-id', 'webhook-timestamp'] as const) {
      const value = headers[name] ?? '';
      for (let byte = 0; byte < value.length; byte++) {
        for (let bit = 0; bit < 7; bit++) {
          expect(await verdicts({ ...headers, [name]: flip(value, byte, bit) }, request.body), `${name} byte ${byte} bit ${bit}`).toEqual(refused);
        }
      }
    }
    for (let byte = 0; byte < request.body.length; byte++) {
      expect(await verdicts(headers, flip(request.body, byte, byte % 8)), `body byte ${byte}`).toEqual(refused);
    }
    expect(await verdicts(headers, request.body, `whsec_${Buffer.alloc(32, 1).toString('base64')}`)).toEqual(refused);
  });

  it('of another tenant is signed with a secret of its own', async ({ expect }) => {
    const created = await fana.request('/v1/admin/keys', { body: { name: 'b', tenant: 'tenant-b', scopes: ['jobs', 'webhooks'] } });
    const { key } = (await created.json()) as { key: string };
    const to = await receiver();
    expect((await fana.request('/v1/jobs', { key, body: { type: 'chat', input: 'hi', webhook: { url: to.url } } })).status).toBe(202);
    const [request] = await to.waitFor(1);
    if (!request) throw new Error('nothing came');
    const theirs = await secretOf(fana, key);
    expect(theirs).not.toBe(secret);
    expect(await verdicts(headersOf(request), request.body, theirs)).toEqual({ openai: true, standard: true });
    expect(await verdicts(headersOf(request), request.body)).toEqual({ openai: false, standard: false });
  });

  it('has the body of the contract, its metadata and nothing more', async ({ expect }) => {
    const to = await receiver();
    const from = Math.floor(Date.now() / 1000);
    const job = await submitted(to, { type: 'image', input: 'a fox', metadata: { order: '42', note: 'größe 🦊' } });
    const [request] = await to.waitFor(1);
    if (!request) throw new Error('nothing came');
    const event = JSON.parse(request.body);
    expect(event).toEqual({
      id: request.headers['webhook-id'],
      object: 'event',
      type: 'job.completed',
      created_at: expect.any(Number),
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
      data: { id: job.id, object: 'job', status: 'completed', type: 'image', metadata: { order: '42', note: 'größe 🦊' } },
    });
    expect(event.id).toMatch(/^evt_\w{22,}$/);
    expect(event.created_at).toBeGreaterThanOrEqual(from);
    expect(Math.floor(Date.parse(event.timestamp) / 1000)).toBe(event.created_at);
    expect(request.method).toBe('POST');
    expect(request.headers['content-type']).toMatch(/^application\/json/);
    expect(request.body).not.toMatch(/data:|base64|iVBOR/);
  });

  it('stays under 20 kB with the largest metadata there is, and says what it left out', async ({ expect }) => {
    const to = await receiver();
    const metadata = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`key-${n}`.padEnd(64, '-'), '世'.repeat(512)]));
    const job = await submitted(to, { metadata });
    const [request] = await to.waitFor(1);
    expect(Buffer.byteLength(request?.body ?? '')).toBeLessThan(20_000);
    expect(JSON.parse(request?.body ?? '').data).toMatchObject({ id: job.id, metadata: {}, metadata_omitted: true });
    expect((await fana.job(job.id)).metadata).toEqual(metadata);
  });
});

describe.concurrent('every end is told', () => {
  const told = async (job: { id: string }, to: WebhookReceiver, count = 1) => {
    await fana.ended(job.id);
    return (await to.waitFor(count)).map(({ body }) => JSON.parse(body));
  };

  it('a failure', async ({ expect }) => {
    const to = await receiver();
    const job = await submitted(to, { input: 'REFUSE' });
    expect(await told(job, to)).toMatchObject([{ type: 'job.failed', data: { id: job.id, status: 'failed' } }]);
  });

  it('the cancellation of a queued job', async ({ expect }) => {
    const to = await receiver();
    const job = await submitted(to, { run_at: Math.floor(Date.now() / 1000) + 3600 });
    await fana.request(`/v1/jobs/${job.id}/cancel`, { method: 'POST' });
    expect(await told(job, to)).toMatchObject([{ type: 'job.cancelled', data: { id: job.id, status: 'cancelled' } }]);
  });

  it('the cancellation of a running job', async ({ expect }) => {
    const to = await receiver();
    const job = await submitted(to, { input: 'HANG here' });
    await expect.poll(async () => (await fana.job(job.id)).attempts.length, { timeout: 10_000 }).toBe(1);
    await fana.request(`/v1/jobs/${job.id}/cancel`, { method: 'POST' });
    expect(await told(job, to)).toMatchObject([{ type: 'job.cancelled', data: { id: job.id, status: 'cancelled' } }]);
  });

  it('an unknown outcome, and each later run with an event id of its own', async ({ expect }) => {
    const to = await receiver();
    const job = await submitted(to, { type: 'image', input: 'RESET' });
    await told(job, to);
    expect((await fana.request(`/v1/jobs/${job.id}/retry`, { method: 'POST' })).status).toBe(202);
    const events = await told(job, to, 2);
    expect(events.map(({ type }) => type)).toEqual(['job.unknown_outcome', 'job.unknown_outcome']);
    expect(new Set(events.map(({ id }) => id)).size).toBe(2);
    expect(new Set(to.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(2);
  });

  it('and only the events that were asked for', async ({ expect }) => {
    const to = await receiver();
    const completed = await submitted(to, {}, ['job.failed', 'job.cancelled']);
    await fana.ended(completed.id);
    const failed = await submitted(to, { input: 'REFUSE' }, ['job.failed', 'job.cancelled']);
    await to.waitFor(1);
    await sleep(1500);
    expect(to.requests.map(({ body }) => JSON.parse(body).data.id)).toEqual([failed.id]);
  });
});

describe.concurrent('a receiver that does not take it', () => {
  /** Answers the first request badly and the others well, and resolves with the two. */
  const twice = async (
    first: ReturnType<NonNullable<ReceiverOptions['respond']>>,
  ): Promise<{ requests: ReceivedRequest[]; apartMs: number; jobId: string }> => {
    const to = await receiver((_, number) => (number === 0 ? first : 204));
    const { id } = await submitted(to);
    const requests = [...(await to.waitFor(2, 30_000))];
    return { requests, apartMs: (requests[1]?.at ?? 0) - (requests[0]?.at ?? 0), jobId: id };
  };
  /** 5 s with 10 % jitter, and what a busy machine adds. */
  const isSecondDelay = (ms: number): boolean => ms >= 4400 && ms < 9000;

  it('answering 500 gets it again about 5 s later: the same id and body, a new timestamp, signed anew', async ({ expect }) => {
    const { requests, apartMs, jobId } = await twice(500);
    expect(apartMs).toSatisfy(isSecondDelay);
    const [first, second] = requests.map(headersOf);
    expect(second?.['webhook-id']).toBe(first?.['webhook-id']);
    expect(Number(second?.['webhook-timestamp'])).toBeGreaterThan(Number(first?.['webhook-timestamp']));
    expect(requests[1]?.body).toBe(requests[0]?.body);
    for (const request of requests) expect(await verdicts(headersOf(request), request.body)).toEqual({ openai: true, standard: true });
    await expect.poll(() => deliveryOf(jobId), { timeout: 5000 }).toMatchObject({ status: 'delivered', attempt_count: '2' });
  });

  it('redirecting is a failure and is not followed', async ({ expect }) => {
    const { requests, apartMs } = await twice({ status: 302, headers: { location: '/elsewhere' } });
    expect(apartMs).toSatisfy(isSecondDelay);
    expect(requests.map(({ path }) => path)).toEqual(['/hook', '/hook']);
  });

  it('hanging up is a failure', async ({ expect }) => {
    expect((await twice('hangUp')).apartMs).toSatisfy(isSecondDelay);
  });

  it('asking for a longer pause by Retry-After gets it', async ({ expect }) => {
    const { apartMs } = await twice({ status: 503, headers: { 'retry-after': '8' } });
    expect(apartMs).toBeGreaterThanOrEqual(7900);
    expect(apartMs).toBeLessThan(13_000);
  });

  it('answering 410 gets it never again', async ({ expect }) => {
    const to = await receiver(() => 410);
    const { id } = await submitted(to);
    await to.waitFor(1);
    await sleep(7500);
    expect(to.requests).toHaveLength(1);
    expect(await deliveryOf(id)).toMatchObject({ status: 'failed', attempt_count: '1' });
  });
});

it('a delivery cut by the death of its worker is sent again within 20 s with the same id, and its schedule is not advanced', async () => {
  const to = await receiver((_, number) => (number === 0 ? { status: 200, delayMs: 60_000 } : number === 1 ? 500 : 200));
  const { id } = await submitted(to);
  await to.waitFor(1);
  const killedAt = Date.now();
  for (const worker of fana.workers) await endProcess(worker);
  await fana.startWorker();
  await to.waitFor(2, 25_000);
  expect((to.requests[1]?.at ?? 0) - killedAt).toBeLessThan(20_000);
  // Had the cut attempt counted, the next would be due in 5 min, not 5 s.
  await to.waitFor(3, 12_000);
  expect(new Set(to.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  await expect.poll(() => deliveryOf(id), { timeout: 5000 }).toMatchObject({ status: 'delivered', attempt_count: '2' });
});

describe('without FANA_ALLOW_PRIVATE_NETWORK', () => {
  let closed: Installation;
  let connections = 0;
  const trap = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  let port: number;

  beforeAll(async () => {
    await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
    port = (trap.address() as { port: number }).port;
    // No worker yet: what slipped through would stay in the queue.
    closed = await startInstallation({ workers: 0 });
  });
  afterAll(async () => {
    await closed.stop();
    await new Promise((resolve) => trap.close(resolve));
  });

  it.each(['127.0.0.1', 'localhost', 'LOCALHOST.', 'hooks.localhost', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1'])(
    'a webhook to %s is refused at submission',
    async (host) => {
      const response = await closed.request('/v1/jobs', { body: { type: 'chat', input: 'hi', webhook: { url: `http://${host}:${port}/hook` } } });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: 'invalid_url', param: 'webhook.url' } });
      expect(connections).toBe(0);
    },
  );

  it('a worker connects to none, even if the job was accepted where it is allowed', async () => {
    await closed.startWorker();
    const open = await closed.startApi({ FANA_ALLOW_PRIVATE_NETWORK: 'true' });
    const ids = await Promise.all(
      ['127.0.0.1', 'localhost'].map(async (host) => {
        const response = await closed.request('/v1/jobs', {
          at: open.url,
          body: { type: 'chat', input: 'hi', webhook: { url: `http://${host}:${port}/hook` } },
        });
        expect(response.status).toBe(202);
        return ((await response.json()) as { id: string }).id;
      }),
    );
    const redis = new Redis(closed.redis.url);
    try {
      for (const id of ids) {
        const key = async (): Promise<string> => `fana:delivery:${(await redis.hget(`fana:job:${id}`, 'deliveries')) ?? ''}`;
        await expect.poll(async () => redis.hget(await key(), 'attempt_count'), { timeout: 15_000 }).toBe('1');
        expect(JSON.parse((await redis.hget(await key(), 'attempt:1')) ?? '{}')).toMatchObject({
          status: null,
          error: expect.stringContaining('may not be reached'),
        });
      }
    } finally {
      redis.disconnect();
    }
    expect(connections).toBe(0);
  });
});

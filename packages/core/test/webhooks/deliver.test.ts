import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { deliver as deliverTo } from '../../src/webhooks/deliver.ts';
import type { DeliveryRecord } from '../../src/webhooks/delivery.ts';
import { defaultSecret } from '../../src/webhooks/secret.ts';
import { findTarget } from '../../src/webhooks/target.ts';
import { closeServers, fuseSockets, listen, readAll } from '../loopback.ts';
import { memoryDeps } from '../memory-deps.ts';

const dials = fuseSockets();
afterEach(() => {
  vi.useRealTimers();
  closeServers();
});

const BODY = JSON.stringify({ id: 'evt_1', type: 'job.completed' });
const deliveryTo = (url: string, made = 0): DeliveryRecord => ({
  id: 'whd_1',
  spec: { tenant: 'default', endpointId: 'default', url, eventId: 'evt_1', type: 'job.completed', subject: 'job_1', body: BODY },
  status: 'pending',
  attempts: Array.from({ length: made }, (_, at) => ({ number: at + 1, at: 0, status: 500, error: null, durationMs: 1 })),
  createdMs: 0,
});
/** One attempt, as a worker makes it. */
const deliver = async (deps: Pick<ReturnType<typeof memoryDeps>, 'redis' | 'config' | 'now'>, delivery: DeliveryRecord) => {
  const target = await findTarget(deps, delivery.spec);
  if (typeof target === 'string') throw new Error(target);
  return deliverTo(deps, delivery, target);
};
/** Verifiers know only the real time. */
const currentDeps = (options?: { allowPrivateNetwork: boolean }) => ({ ...memoryDeps(options), now: Date.now });

describe('one delivery attempt', () => {
  test('is a signed POST that the receiver can verify with the secret of the tenant', async () => {
    const deps = currentDeps();
    const seen: { method: string | undefined; headers: Record<string, string>; body: string }[] = [];
    const { url } = await listen((request, response) => {
      void readAll(request).then((body) => {
        seen.push({ method: request.method, headers: request.headers as Record<string, string>, body });
        response.writeHead(204).end();
      });
    });
    const { attempt } = await deliver(deps, deliveryTo(`${url}/hook`, 2));
    expect(attempt).toMatchObject({ number: 3, status: 204, error: null });
    expect(seen[0]).toMatchObject({ method: 'POST', body: BODY, headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' } });
    expect(new Webhook(await defaultSecret(deps, 'default')).verify(seen[0]?.body ?? '', seen[0]?.headers ?? {})).toEqual(JSON.parse(BODY));
  });

  test.each([200, 201, 299, 400, 404, 410, 500, 503])('reports status %i as it is', async (status) => {
    const { url } = await listen((_request, response) => response.writeHead(status).end('thank you'));
    expect((await deliver(currentDeps(), deliveryTo(url))).attempt).toMatchObject({ status, error: null });
  });

  test.each([301, 302, 303, 307, 308])('does not follow a %i', async (status) => {
    const { url, connections } = await listen((_request, response) => response.writeHead(status, { location: '/elsewhere' }).end());
    expect((await deliver(currentDeps(), deliveryTo(url))).attempt).toMatchObject({ status, error: null });
    expect(connections()).toBe(1);
  });

  test('hears Retry-After', async () => {
    const { url } = await listen((_request, response) => response.writeHead(429, { 'retry-after': '120' }).end());
    expect(await deliver(currentDeps(), deliveryTo(url))).toMatchObject({ attempt: { status: 429 }, retryAfterMs: 120_000 });
  });

  test('is cut after 15 s, not before, whether the receiver is silent or drips', async () => {
    for (const path of ['/silent', '/drip']) {
      let answering = false;
      const { url } = await listen((request, response) => {
        if (request.url === '/drip') response.write('x');
        answering = true;
      });
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      let attempt: unknown;
      const done = deliver(currentDeps(), deliveryTo(url + path)).then((outcome) => {
        attempt = outcome.attempt;
      });
      while (!answering) await new Promise((resolve) => setImmediate(resolve));
      await vi.advanceTimersByTimeAsync(14_900);
      expect(attempt).toBeUndefined();
      await vi.advanceTimersByTimeAsync(100);
      vi.useRealTimers();
      await done;
      expect(attempt).toMatchObject({ status: null, error: expect.stringMatching(/15 s \(timeout\)/) });
    }
  });

  test('a reply of a gigabyte counts by its status and is not read', async () => {
    const block = Buffer.alloc(1_000_000);
    let sent = 0;
    let closed = false;
    const { url } = await listen((_request, response) => {
      response.on('close', () => {
        closed = true;
      });
      response.writeHead(200, { 'content-length': 10 ** 9 });
      const more = (): void => {
        while (!response.destroyed && sent < 10 ** 9) {
          sent += block.length;
          if (!response.write(block)) {
            response.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    expect((await deliver(currentDeps(), deliveryTo(url))).attempt).toMatchObject({ status: 200, error: null });
    await vi.waitFor(() => expect(closed).toBe(true));
    expect(sent).toBeLessThan(20_000_000);
  });

  test('a reply that cannot be unpacked counts by its status', async () => {
    const { url } = await listen((_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('thank you'));
    expect((await deliver(currentDeps(), deliveryTo(url))).attempt).toMatchObject({ status: 200, error: null });
  });

  test('says what went wrong when no status came, without an address', async () => {
    const { url } = await listen((_request, response) => response.destroy());
    expect((await deliver(currentDeps(), deliveryTo(url))).attempt).toMatchObject({ status: null, error: 'The connection was cut.' });
    const refused = (await deliver(currentDeps(), deliveryTo('http://127.0.0.1:65535/'))).attempt;
    expect(refused).toMatchObject({ status: null, error: 'The connection was refused.' });
  });

  test('goes nowhere inside unless the operator allows it, and to no metadata address even then', async () => {
    const { url, connections } = await listen((_request, response) => response.end());
    const outside = (await deliver(currentDeps({ allowPrivateNetwork: false }), deliveryTo(url))).attempt;
    expect(outside).toMatchObject({ status: null, error: expect.stringMatching(/may not be reached/) });
    const metadata = (await deliver(currentDeps(), deliveryTo('http://169.254.169.254/'))).attempt;
    expect(metadata).toMatchObject({ status: null, error: expect.stringMatching(/may not be reached/) });
    expect(connections()).toBe(0);
    expect(dials).toEqual([]);
  });
});

describe('the secret of per-job webhooks', () => {
  test('is made once for a tenant, has 32 random bytes, and is stored encrypted', async () => {
    const deps = memoryDeps();
    const [first, again, other] = await Promise.all([defaultSecret(deps, 'a'), defaultSecret(deps, 'a'), defaultSecret(deps, 'b')]);
    expect(first).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
    for (const line of deps.lines.values()) {
      expect(line).not.toContain('whsec_');
      expect(Buffer.from(line, 'base64').toString('latin1')).not.toContain(first.slice(6, 26));
    }
  });
});

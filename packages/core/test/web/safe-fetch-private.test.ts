import { afterEach, describe, expect, test } from 'vitest';
import { type SafeFetchOptions, safeFetch } from '../../src/web/safe-fetch.ts';
import { answering, closeServers, failure, fuseSockets, listen } from '../loopback.ts';

const INSIDE = { timeoutMs: 5000, maxBytes: 100_000, allowPrivateNetwork: true } satisfies SafeFetchOptions;
const OUTSIDE = { ...INSIDE, allowPrivateNetwork: false };
const dials = fuseSockets();
afterEach(closeServers);

describe('the private network', () => {
  test.each([
    ...['127.0.0.1', '127.1', '127.0.1', '2130706433', '0x7f.1', '0x7f000001', '0177.0.0.1', '017700000001', '127.0.0.1.', '127%2e0%2e0%2e1', '１２７.0.0.1'],
    ...['0', '0.0.0.0', '[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::7f00:1]', '[64:ff9b::7f00:1]'],
    ...['localhost', 'LOCALHOST', 'localhost.', 'canary.localhost', 'localhost.localdomain'],
  ])('%s is refused without a socket', async (host) => {
    const canary = await listen((_request, response) => response.end('inside'));
    const error = await failure(safeFetch(`http://${host}:${canary.port}/`, { ...OUTSIDE, lookup: answering(['127.0.0.1']).lookup }));
    expect(error).toMatchObject({ code: 'invalid_url', param: 'url' });
    expect(dials).toEqual([]);
    expect(canary.connections()).toBe(0);
  });

  test.each([
    [['127.0.0.1']],
    [['::1']],
    [['::ffff:127.0.0.1']],
    [['10.0.0.5']],
    [['169.254.169.254']],
    [['93.184.216.34', '127.0.0.1']],
    [['127.0.0.1', '93.184.216.34']],
    [['2606:4700:4700::1111', '::1']],
  ])('a name that leads to %s is refused without a socket', async (addresses) => {
    const canary = await listen((_request, response) => response.end('inside'));
    const { lookup, asked } = answering(addresses);
    const error = await failure(safeFetch(`http://rebind.test:${canary.port}/`, { ...OUTSIDE, lookup }));
    expect(error).toMatchObject({ code: 'invalid_url', param: 'url' });
    for (const address of addresses) expect(error.message).not.toContain(address);
    expect(asked).toEqual(['rebind.test']);
    expect(dials).toEqual([]);
    expect(canary.connections()).toBe(0);
  });

  test('a name that changes its answer after the check is dialled at the checked address, and refused the next time', async () => {
    const canary = await listen((_request, response) => response.end('inside'));
    for (let round = 0; round < 50; round++) {
      dials.length = 0;
      const { lookup, asked } = answering(['93.184.216.34'], ['127.0.0.1']);
      const url = `http://rebind.test:${canary.port}/`;
      // The first answer is public: the socket is told to go there and nowhere else (and is stopped by this test).
      expect((await failure(safeFetch(url, { ...OUTSIDE, lookup }))).code).toBe('fetch_failed');
      expect(dials).toEqual([{ host: 'rebind.test', addresses: ['93.184.216.34'] }]);
      expect(asked).toHaveLength(1);
      expect((await failure(safeFetch(url, { ...OUTSIDE, lookup }))).code).toBe('invalid_url');
      expect(dials).toHaveLength(1);
    }
    expect(canary.connections()).toBe(0);
  });

  test('is checked again for every connection: nothing is reused from an earlier fetch under a wider policy', async () => {
    const { port, connections } = await listen((_request, response) => response.end('inside'));
    const { lookup } = answering(['127.0.0.1']);
    await safeFetch(`http://shared.test:${port}/`, { ...INSIDE, lookup });
    expect((await failure(safeFetch(`http://shared.test:${port}/`, { ...OUTSIDE, lookup }))).code).toBe('invalid_url');
    expect(connections()).toBe(1);
  });
});

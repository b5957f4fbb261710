import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const ADDRESSES = ['93.184.216.34/32', '10.0.0.1/32', '192.168.1.1/32', '172.16.0.1/32', '100.64.0.1/32', '169.254.169.254/32'];
const ADDRESSES_V6 = ['fd00::1/128', 'fd00:ec2::254/128'];
/** Of util-linux: there on every Linux. */
const UNSHARE = 'unshare';
const SET_UP = [
  'ip link set lo up',
  ...ADDRESSES.map((address) => `ip addr add ${address} dev lo`),
  ...ADDRESSES_V6.map((address) => `ip -6 addr add ${address} dev lo nodad`),
].join(' && ');
/** The arguments that run `command` in a fresh namespace with those addresses. */
const inNamespace = (command: string, ...args: string[]): string[] => ['--net', '--map-root-user', 'sh', '-c', `${SET_UP} && ${command}`, ...args];

/** Sandboxes and some distributions forbid namespaces; the policy is tested without them in safe-fetch-private.test.ts. */
const isPermitted = spawnSync(UNSHARE, inNamespace('true')).status === 0;

describe.skipIf(!isPermitted)('in a network namespace of the test (needs unshare and ip)', () => {
  test('50 redirects, 50 changing DNS answers and every private address: the public server is reached, no private one is', async () => {
    const canary = new URL('./canary.ts', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(UNSHARE, inNamespace('exec "$0" "$1"', process.execPath, canary), { timeout: 60_000 });
    const seen = JSON.parse(stdout);
    expect(seen).toMatchObject({
      direct: {},
      byName: {},
      byRedirect: { '93.184.216.34': 50 },
      byRebinding: { '93.184.216.34': 50 },
      rebindingOutcomes: ['200'],
    });
    expect(Object.keys({ ...seen.direct, ...seen.byName, ...seen.byRedirect, ...seen.byRebinding })).toEqual(['93.184.216.34']);
    // The operator's switch opens everything but the metadata addresses.
    expect(Object.keys(seen.allowed).sort()).toEqual(['10.0.0.1', '100.64.0.1', '127.0.0.1', '172.16.0.1', '192.168.1.1', '::1', 'fd00::1'].sort());
    expect(Object.keys(seen.control)).toHaveLength(10);
  });
});

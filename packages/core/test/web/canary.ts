/**
 * Run by namespace.test.ts inside a network namespace of its own, where "public" and private addresses are all on the loopback device.
 * Attacks every kind of address through `safeFetch` and prints, as JSON, which of them saw a connection.
 */
import { createServer } from 'node:http';
import { type AddressInfo, connect, isIP } from 'node:net';
import type { Lookup } from '../../src/web/connect.ts';
import { safeFetch } from '../../src/web/safe-fetch.ts';

const PUBLIC = '93.184.216.34';
const PRIVATE = ['127.0.0.1', '10.0.0.1', '192.168.1.1', '172.16.0.1', '100.64.0.1', '169.254.169.254', '::1', 'fd00::1', 'fd00:ec2::254'];
const ROUNDS = 50;

const seen = new Map<string, number>();
let redirectTo = '';
const server = createServer((_request, response) => {
  if (redirectTo === '') response.end('reached');
  else response.writeHead(302, { location: redirectTo }).end();
});
server.on('connection', (socket) => {
  const address = (socket.localAddress ?? '').replace(/^::ffff:/, '');
  seen.set(address, (seen.get(address) ?? 0) + 1);
});
await new Promise<void>((resolve) => server.listen(0, '::', resolve));
const { port } = server.address() as AddressInfo;

/** Connections that came in while `attack` ran, by the address they came to. */
const during = async (attack: () => Promise<unknown>): Promise<Record<string, number>> => {
  seen.clear();
  await attack();
  return Object.fromEntries(seen);
};

const hostOf = (address: string): string => (isIP(address) === 6 ? `[${address}]` : address);
const outcomes: string[] = [];
const attempt = async (host: string, lookup?: Lookup, allowPrivateNetwork = false): Promise<void> => {
  const options = { timeoutMs: 2000, maxBytes: 1000, allowPrivateNetwork, ...(lookup && { lookup }) };
  await safeFetch(`http://${host}:${port}/`, options).then(
    ({ status }) => outcomes.push(String(status)),
    (error: Error & { code?: string }) => outcomes.push(error.code ?? error.name),
  );
};
/** A name server whose answer changes after the first question. */
const rebinding = (later: string): Lookup => {
  let asked = 0;
  return async () => {
    const address = asked++ === 0 ? PUBLIC : later;
    return [{ address, family: isIP(address) }];
  };
};

const direct = await during(async () => {
  for (const address of PRIVATE) await attempt(hostOf(address));
  for (const host of ['2130706433', '0x7f.1', '0177.0.0.1', '0', '127.1', '[::ffff:127.0.0.1]', '[::]', 'localhost']) await attempt(host);
});
const byName = await during(async () => {
  for (const address of PRIVATE) await attempt('inside.test', async () => [{ address, family: isIP(address) }]);
  for (const address of PRIVATE) await attempt('both.test', async () => [PUBLIC, address].map((each) => ({ address: each, family: isIP(each) })));
});
const byRedirect = await during(async () => {
  for (let round = 0; round < ROUNDS; round++) {
    redirectTo = `http://${hostOf(PRIVATE[round % PRIVATE.length] ?? '')}:${port}/`;
    await attempt(PUBLIC);
  }
});
redirectTo = '';
outcomes.length = 0;
const byRebinding = await during(async () => {
  for (let round = 0; round < ROUNDS; round++) await attempt('rebind.test', rebinding(PRIVATE[round % PRIVATE.length] ?? ''));
});
const rebindingOutcomes = [...new Set(outcomes)];
const allowed = await during(async () => {
  for (const address of PRIVATE) await attempt(hostOf(address), undefined, true);
});
/** That the canary sings at all: without `safeFetch` every address answers. */
const control = await during(async () => {
  for (const host of [PUBLIC, ...PRIVATE]) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port }, () => {
        socket.end();
        resolve();
      }).on('error', reject);
    });
  }
});

server.closeAllConnections();
server.close();
console.log(JSON.stringify({ direct, byName, byRedirect, byRebinding, rebindingOutcomes, allowed, control }));

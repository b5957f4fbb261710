/**
 * `node scripts/health.mjs api|worker`: the health check of a container. The API is healthy when it answers `/readyz`, a worker when
 * its Redis can be reached from there. Exit code 0 or 1.
 */
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

const TIMEOUT_MS = 3000;

const checkApi = async () => {
  const reply = await fetch(`http://127.0.0.1:${process.env['PORT'] || 3000}/readyz`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (reply.status !== 200) throw new Error(`/readyz answered ${reply.status}`);
};

/** Redis answers any PING with a line: `+PONG`, or an error about the password, which the worker itself would have ended with. */
const checkRedis = () => {
  const url = new URL(process.env['REDIS_URL'] ?? '');
  const target = { host: url.hostname, port: Number(url.port || 6379) };
  return new Promise((resolve, reject) => {
    const socket = url.protocol === 'rediss:' ? connectTls({ ...target, servername: url.hostname }) : connect(target);
    socket.setTimeout(TIMEOUT_MS, () => reject(new Error('Redis did not answer')));
    socket.once('error', reject);
    socket.once('data', resolve);
    socket.write('PING\r\n');
  });
};

try {
  await (process.argv[2] === 'worker' ? checkRedis() : checkApi());
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

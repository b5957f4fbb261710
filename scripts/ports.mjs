import { createServer } from 'node:net';
import { PlainError } from './plain-error.mjs';

/** A port of 127.0.0.1 that nobody listens on now. @returns {Promise<number>} */
export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port was given'))));
    });
  });

/**
 * @param {string} host
 * @param {number} port
 * @returns {Promise<void>}
 * @throws {PlainError} in one line when nobody can listen there
 */
export const assertFree = (host, port) =>
  new Promise((done, fail) => {
    const server = createServer();
    server.once('error', (error) => {
      const taken = 'code' in error && error.code === 'EADDRINUSE';
      const message = taken
        ? `Port ${port} of ${host} is taken. Stop what uses it, or choose another one: PORT=${port + 1} npm start`
        : `Nothing can listen on port ${port} of ${host}: ${error.message}`;
      fail(new PlainError(message));
    });
    server.listen(port, host, () => server.close(() => done()));
  });

/** The address a browser or curl on this machine uses. @param {string} host @param {number} port */
export const localUrl = (host, port) => {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
};

/** Whether the API there is ready to serve. @param {string} url */
export const isReady = async (url) => {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1000) })).status === 200;
  } catch {
    // Not listening yet.
    return false;
  }
};

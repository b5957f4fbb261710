import type { LookupAddress } from 'node:dns';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, isIP, Socket } from 'node:net';
import { afterEach, beforeEach, vi } from 'vitest';
import { AppError } from '../src/errors.ts';
import type { Lookup } from '../src/web/connect.ts';

/** Where a socket was told to go: the host, and the addresses its lookup gave. */
export type Dial = { host: string; addresses: string[] };
type DialOptions = { host: string; lookup?: (host: string, options: { all: true }, callback: (error: null, addresses: LookupAddress[]) => void) => void };

const LOOPBACK = new Set(['127.0.0.1', '::1']);

/**
 * Writes down every dial of a test and lets only loopback through, so that nothing leaves this machine even if the policy under test is
 * broken. Call it once at the top of a test file.
 */
export const fuseSockets = (): Dial[] => {
  const dials: Dial[] = [];
  beforeEach(() => {
    dials.length = 0;
    const connect = Socket.prototype.connect;
    vi.spyOn(Socket.prototype, 'connect').mockImplementation(function (this: Socket, ...args: unknown[]) {
      const { host, lookup } = [args[0]].flat()[0] as DialOptions;
      const addresses: string[] = [];
      if (isIP(host) !== 0) addresses.push(host);
      else lookup?.(host, { all: true }, (_error, found) => addresses.push(...found.map(({ address }) => address)));
      dials.push({ host, addresses });
      if (addresses.length > 0 && addresses.every((address) => LOOPBACK.has(address))) return Reflect.apply(connect, this, args) as Socket;
      return this.destroy(Object.assign(new Error('not dialled in tests'), { code: 'ECONNREFUSED' }));
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  return dials;
};

const closers: (() => void)[] = [];

/** Closes what `listen` and `listenTcp` opened. For `afterEach`. */
export const closeServers = (): void => {
  for (const close of closers.splice(0)) close();
};

/** An HTTP server on 127.0.0.1 that counts its connections. */
export const listen = async (listener: RequestListener): Promise<{ port: number; url: string; connections: () => number }> => {
  const server = createServer(listener);
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}`, connections: () => connections };
};

/** A bare TCP server on 127.0.0.1, for replies that are no HTTP. Returns its port. */
export const listenTcp = async (onSocket: (socket: Socket) => void): Promise<number> => {
  const server = createTcpServer((socket) => onSocket(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
};

export const readAll = async (request: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
};

/** A resolver that answers one list of addresses after the other, then the last one for ever. `asked` are the names. */
export const answering = (...answers: string[][]): { lookup: Lookup; asked: string[] } => {
  const asked: string[] = [];
  const lookup: Lookup = async (hostname) => {
    const found = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(hostname);
    return found.map((address) => ({ address, family: isIP(address) }));
  };
  return { lookup, asked };
};

/** The AppError that `promise` fails with. Anything else fails the test. */
export const failure = async (promise: Promise<unknown>): Promise<AppError> => {
  const thrown = await promise.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  );
  if (thrown instanceof AppError) return thrown;
  throw thrown;
};

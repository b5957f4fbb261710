import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * `pass`: bytes go through. `blackHole`: connections are accepted and stay open, and no byte goes through, in either direction.
 * `refuse`: new connections are reset.
 */
type ProxyMode = 'pass' | 'blackHole' | 'refuse';

export type TcpProxy = {
  port: number;
  /** Connections made so far. */
  connections: () => number;
  /** Holds from now on, for open connections too; what a black hole swallowed is lost. */
  setMode: (mode: ProxyMode) => void;
  /** Each piece of data waits this long in each direction. */
  setLatency: (latencyMs: number) => void;
  /** Resets every open connection (TCP RST). New ones are taken as the mode says. */
  reset: () => void;
  stop: () => Promise<void>;
};

/** A proxy on 127.0.0.1 in front of `targetPort` of 127.0.0.1 that can be made to fail. */
export const startProxy = async (targetPort: number): Promise<TcpProxy> => {
  let mode: ProxyMode = 'pass';
  let latencyMs = 0;
  let count = 0;
  const open = new Set<Socket>();

  const track = (socket: Socket): void => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    // A cut connection is what this is for.
    socket.on('error', () => socket.destroy());
  };

  const pump = async (from: Socket, to: Socket): Promise<void> => {
    for await (const chunk of from) {
      if (latencyMs > 0) await sleep(latencyMs);
      if (mode !== 'pass') continue;
      if (!to.write(chunk)) await Promise.race([new Promise((resolve) => to.once('drain', resolve)), new Promise((resolve) => to.once('close', resolve))]);
    }
    if (mode === 'pass') to.end();
  };

  const server = createServer({ allowHalfOpen: true }, (client) => {
    count++;
    track(client);
    if (mode === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const target = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    track(target);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      pump(from, to).catch(() => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');

  const reset = (): void => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    port: address.port,
    connections: () => count,
    setMode(next) {
      mode = next;
    },
    setLatency(next) {
      latencyMs = next;
    },
    reset,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        reset();
      }),
  };
};

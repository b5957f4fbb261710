import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startProxy, type TcpProxy } from './tcp-proxy.ts';

let echo: Server;
let proxy: TcpProxy;
beforeAll(async () => {
  echo = createServer((socket) => socket.on('error', () => socket.destroy()).pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const address = echo.address();
  proxy = await startProxy(typeof address === 'object' && address !== null ? address.port : 0);
});
afterEach(() => {
  proxy.setMode('pass');
  proxy.setLatency(0);
});
afterAll(async () => {
  await proxy.stop();
  echo.close();
});

const dial = async (): Promise<Socket> => {
  const socket = connect(proxy.port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
};
const ask = async (socket: Socket, text: string): Promise<string> => {
  socket.write(text);
  const [data] = await once(socket, 'data');
  return String(data);
};

test('passes bytes and the end of either side through', async () => {
  const socket = await dial();
  expect(await ask(socket, 'hello')).toBe('hello');
  socket.end();
  await once(socket, 'close');
});

test('delays each direction', async () => {
  const socket = await dial();
  proxy.setLatency(50);
  const started = Date.now();
  expect(await ask(socket, 'slow')).toBe('slow');
  expect(Date.now() - started).toBeGreaterThanOrEqual(98);
  socket.destroy();
});

test('swallows everything in a black hole, of open connections too, and stays open', async () => {
  const socket = await dial();
  expect(await ask(socket, 'before')).toBe('before');
  proxy.setMode('blackHole');
  const answer = ask(socket, 'swallowed');
  expect(await Promise.race([answer, sleep(100).then(() => 'nothing')])).toBe('nothing');
  expect(socket.destroyed).toBe(false);
  proxy.setMode('pass');
  socket.write('after');
  expect(await answer).toBe('after');
  socket.destroy();
});

test('resets open connections, and new ones while it refuses', async () => {
  const socket = await dial();
  expect(await ask(socket, 'x')).toBe('x');
  const cut = once(socket, 'error');
  proxy.reset();
  expect((await cut)[0]).toMatchObject({ code: 'ECONNRESET' });
  proxy.setMode('refuse');
  const refused = connect(proxy.port, '127.0.0.1');
  expect((await once(refused, 'error'))[0]).toMatchObject({ code: 'ECONNRESET' });
});

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

type Answer = (response: ServerResponse, request: IncomingMessage) => void | Promise<void>;

/** A web server on loopback whose pages a test writes; what is not written is 404. */
export type PageServer = {
  url: string;
  /** Paths that were asked for, in order. */
  asked: string[];
  /** Bytes of bodies that were taken off it, by path. */
  taken: Map<string, number>;
  /** Puts a page there; returns its URL. */
  put: (path: string, body: string | Buffer, headers?: Record<string, string>) => string;
  serve: (path: string, answer: Answer) => string;
  stop: () => Promise<void>;
};

/** Starts it on a free port. */
export const startPageServer = async (fallback?: Answer): Promise<PageServer> => {
  const answers = new Map<string, Answer>();
  const asked: string[] = [];
  const taken = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    response.once('close', () => taken.set(path, (taken.get(path) ?? 0) + (request.socket.bytesWritten ?? 0)));
    const answer = answers.get(path) ?? fallback;
    if (!answer) return void response.writeHead(404).end();
    Promise.resolve(answer(response, request)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const url = `http://127.0.0.1:${address.port}`;
  const serve: PageServer['serve'] = (path, answer) => {
    answers.set(path, answer);
    return `${url}${path}`;
  };
  return {
    url,
    asked,
    taken,
    serve,
    put: (path, body, headers = {}) => serve(path, (response) => void response.writeHead(200, headers).end(body)),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

/** Resolves when a stream takes more, or never will. */
export const drained = (stream: NodeJS.EventEmitter, events = ['drain', 'close']): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });

/** Writes pieces for as long as the other side takes them; never more than one ahead. */
export const pour = async (response: ServerResponse, pieces: Iterable<Buffer>): Promise<void> => {
  for (const piece of pieces) {
    if (response.destroyed) return;
    if (!response.write(piece)) await drained(response);
  }
  response.end();
};

/** The same piece so many times. */
export function* repeated(piece: Buffer, times: number): Generator<Buffer> {
  for (let time = 0; time < times; time++) yield piece;
}

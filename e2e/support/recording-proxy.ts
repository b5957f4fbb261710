import { createServer, request as open } from 'node:http';

/** A call as it came over the wire: JSON as it was sent, a form field by field (a file as its type and size). */
export type RecordedCall = {
  path: string;
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: the shape of a request is what a test checks
  body: any;
};

/** Stands before a provider and writes down what it is sent, byte for byte; answers are the provider's own. */
export type RecordingProxy = { url: string; calls: RecordedCall[]; stop: () => Promise<void> };

const readForm = async (bytes: Buffer<ArrayBuffer>, type: string): Promise<Record<string, unknown>> => {
  const form = await new Response(bytes, { headers: { 'content-type': type } }).formData();
  return Object.fromEntries([...form].map(([name, value]) => [name, typeof value === 'string' ? value : { type: value.type, size: value.size }] as const));
};

/** Starts it on a free port. */
export const startRecordingProxy = async (target: string): Promise<RecordingProxy> => {
  const calls: RecordedCall[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const type = incoming.headers['content-type'] ?? '';
    const body = type.startsWith('multipart/') ? await readForm(bytes, type) : bytes.length === 0 ? undefined : JSON.parse(bytes.toString());
    calls.push({ path: incoming.url ?? '', headers: incoming.headers, body });
    const passed = open(`${target}${incoming.url}`, { method: incoming.method, headers: { ...incoming.headers, host: new URL(target).host } }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(outgoing);
    });
    passed.once('error', () => outgoing.destroy());
    passed.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

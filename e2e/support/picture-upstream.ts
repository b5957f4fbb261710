import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import sharp from 'sharp';

/** A file of a form, or its text. */
type Sent = string | { name: string; type: string; bytes: Buffer };
type PictureCall = { path: string; json?: Record<string, unknown>; form: [string, Sent][] };

/** What counts pictures and reads forms, which aimock does not: `n` pictures, each of another colour, told of as gpt-image models do. */
export type PictureUpstream = { calls: PictureCall[]; env: Record<string, string>; stop: () => Promise<void> };

const readForm = async (request: IncomingMessage, bytes: Buffer<ArrayBuffer>): Promise<[string, Sent][]> => {
  const form = await new Response(bytes, { headers: { 'content-type': request.headers['content-type'] ?? '' } }).formData();
  return Promise.all(
    [...form].map(
      async ([name, value]): Promise<[string, Sent]> => [
        name,
        typeof value === 'string' ? value : { name: value.name, type: value.type, bytes: Buffer.from(await value.arrayBuffer()) },
      ],
    ),
  );
};

const picture = async (at: number): Promise<string> =>
  (
    await sharp({ create: { width: 32, height: 16, channels: 3, background: { r: 20 * at, g: 100, b: 50 } } })
      .png()
      .toBuffer()
  ).toString('base64');

/** Starts it; `env` points an installation at it. */
export const startPictureUpstream = async (): Promise<PictureUpstream> => {
  const calls: PictureCall[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const isJson = request.headers['content-type']?.startsWith('application/json');
    const call: PictureCall = { path: request.url ?? '', form: [], ...(isJson && { json: JSON.parse(bytes.toString()) }) };
    if (!isJson) call.form = await readForm(request, bytes);
    calls.push(call);
    const n = Number(call.json?.['n'] ?? call.form.find(([name]) => name === 'n')?.[1] ?? 1);
    const data = await Promise.all(Array.from({ length: n }, async (_, at) => ({ b64_json: await picture(at) })));
    const usage = { input_tokens: 12, input_tokens_details: { text_tokens: 12, image_tokens: 0 }, output_tokens: 100 * n, total_tokens: 12 + 100 * n };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ created: 1, background: 'opaque', quality: 'medium', data, usage }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    calls,
    env: { OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1` },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
};

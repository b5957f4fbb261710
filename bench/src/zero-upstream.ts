import { createServer } from 'node:http';

// A provider of zero latency: the smallest streamed chat completion an SDK accepts, the same for both sides.
const chunk = (delta: object, finish: string | null, usage: object | null): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'bench', choices: [{ index: 0, delta, finish_reason: finish }], usage })}\n\n`;
const ANSWER = Buffer.from(
  `${chunk({ role: 'assistant', content: 'An answer of a few words.' }, null, null)}${chunk({}, 'stop', { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15 })}data: [DONE]\n\n`,
);
const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': ANSWER.length });
    response.end(ANSWER);
  });
});
server.listen(Number(process.env['PORT']), '127.0.0.1', () => console.log('upstream is ready'));

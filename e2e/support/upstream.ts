import { type ChatCompletionRequest, LLMock } from '@copilotkit/aimock';
import sharp from 'sharp';

export type UpstreamCall = { path: string; body: { model?: string; prompt?: string; messages?: { role: string; content: unknown }[] } };

/** A provider that others wrote (aimock) on loopback, answering chat, vision and pictures. */
export type Upstream = { url: string; mock: LLMock; calls: () => UpstreamCall[]; env: Record<string, string>; stop: () => Promise<void> };

const lastText = (request: ChatCompletionRequest): string => {
  const content = request.messages.findLast(({ role }) => role === 'user')?.content ?? '';
  return typeof content === 'string' ? content : JSON.stringify(content);
};

export { lastText };

/** Starts it with an answer to everything; `env` points an installation at it, with keys for Groq and OpenAI. */
export const startUpstream = async (reply: (request: ChatCompletionRequest) => string | Promise<string> = () => 'An answer.'): Promise<Upstream> => {
  const mock = new LLMock({ port: 0, host: '127.0.0.1' });
  const png = await sharp({ create: { width: 32, height: 32, channels: 3, background: '#8844aa' } })
    .png()
    .toBuffer();
  mock.on({ endpoint: 'image' }, { image: { b64Json: png.toString('base64'), revisedPrompt: 'revised' } });
  mock.on({}, async (request) => ({ content: await reply(request) }));
  await mock.start();
  return {
    url: mock.url,
    mock,
    calls: () => mock.getRequests().map(({ path, body }) => ({ path, body: body as UpstreamCall['body'] })),
    env: { GROQ_API_KEY: 'test-groq', GROQ_BASE_URL: mock.url, OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `${mock.url}/v1` },
    stop: () => mock.stop(),
  };
};

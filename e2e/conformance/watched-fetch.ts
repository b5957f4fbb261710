import { problemsOf } from './shapes.ts';

type Shapes = { json?: string; events?: string };

/** Which shape a route replies in. `*` stands for one part of a path. */
const ROUTES: Readonly<Record<string, Shapes>> = {
  'POST chat/completions': { json: 'ChatCompletionBody', events: 'ChatCompletionChunkBody' },
  'POST responses': { json: 'ResponseBody', events: 'ResponseStreamEventBody' },
  'GET responses/*': { json: 'ResponseBody', events: 'ResponseStreamEventBody' },
  'POST responses/*/cancel': { json: 'ResponseBody' },
  'DELETE responses/*': { json: 'ResponseDeletedBody' },
  'GET responses/*/input_items': { json: 'ResponseItemListBody' },
  'POST images/generations': { json: 'ImagesResponseBody' },
  'POST images/edits': { json: 'ImagesResponseBody' },
  'POST embeddings': { json: 'CreateEmbeddingResponseBody' },
  'GET models': { json: 'ModelListBody' },
  'GET models/*': { json: 'ModelBody' },
  'POST files': { json: 'FileObjectBody' },
  'GET files': { json: 'FileListBody' },
  'GET files/*': { json: 'FileObjectBody' },
  'DELETE files/*': { json: 'FileDeletedBody' },
  'POST batches': { json: 'BatchBody' },
  'GET batches': { json: 'BatchListBody' },
  'GET batches/*': { json: 'BatchBody' },
  'POST batches/*/cancel': { json: 'BatchBody' },
  'POST webhook_endpoints': { json: 'WebhookEndpointWithSecretBody' },
  'GET webhook_endpoints': { json: 'WebhookEndpointListBody' },
  'GET webhook_endpoints/*': { json: 'WebhookEndpointBody' },
  'POST webhook_endpoints/*': { json: 'WebhookEndpointBody' },
  'DELETE webhook_endpoints/*': { json: 'WebhookEndpointDeletedBody' },
  'POST webhook_endpoints/*/rotate_secret': { json: 'WebhookEndpointWithSecretBody' },
  'POST webhook_endpoints/*/test': { json: 'WebhookEndpointTestResultBody' },
  'GET webhook_event_types': { json: 'WebhookEventTypeListBody' },
};
/** Bytes as they were uploaded, or written by a batch: their lines are checked where they are read. */
const BYTES = 'GET files/*/content';

const FIXED_PARTS = /^(cancel|input_items|rotate_secret|test|content|completions|generations|edits)$/;
const routeOf = (method: string, url: string): string => {
  const [resource = '', ...rest] = new URL(url).pathname.replace(/^\/(openai\/)?v1\//, '').split('/');
  return `${method} ${[resource, ...rest.map((part) => (FIXED_PARTS.test(part) ? part : '*'))].join('/')}`;
};

const readJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** The whole events of a stream; one that was cut has an unfinished rest, which is nobody's event. */
const eventsOf = (text: string): { event: string | undefined; data: string }[] =>
  text
    .split('\n\n')
    .slice(0, -1)
    .filter((block) => !block.startsWith(':'))
    .map((block) => ({ event: /^event: (.*)$/m.exec(block)?.[1], data: /^data: (.*)$/m.exec(block)?.[1] ?? '' }));

const checkEvents = (shape: string, text: string): string[] =>
  eventsOf(text).flatMap(({ event, data }) => {
    if (data === '[DONE]' && event === undefined) return [];
    const body = readJson(data) as { type?: string; error?: unknown };
    if (body?.error !== undefined && body.type === undefined) return problemsOf('ErrorBody', body);
    return [...problemsOf(shape, body), ...(event !== undefined && event !== body.type ? [`event ${event} holds ${body.type}`] : [])];
  });

/** What remains of a reply whose reader went away, or whose sender did. */
const readAll = async (response: Response): Promise<string> => {
  let text = '';
  try {
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) text += piece;
  } catch {
    // Cut in the middle: what came whole is checked.
  }
  return text;
};

const checkReply = async (route: string, response: Response): Promise<string[]> => {
  const type = response.headers.get('content-type') ?? '';
  const text = await readAll(response);
  if (response.status >= 400) return problemsOf('ErrorBody', readJson(text));
  const shapes = ROUTES[route];
  if (type.startsWith('text/event-stream')) return shapes?.events ? checkEvents(shapes.events, text) : ['no stream is expected here'];
  return shapes?.json ? problemsOf(shapes.json, readJson(text)) : ['no shape is known for this route'];
};

/** A `fetch` for SDKs under test that holds every reply against the shape OpenAI publishes for it. */
export type WatchedFetch = {
  fetch: typeof fetch;
  /** All that was wrong since the last time, each with its route. Waits for replies whose rest nobody read. */
  problems: () => Promise<string[]>;
  /** How many replies of each route were checked. */
  checked: Map<string, number>;
};

export const watchFetch = (): WatchedFetch => {
  const checked = new Map<string, number>();
  let pending: Promise<string[]>[] = [];
  return {
    checked,
    async fetch(input, init) {
      const request = new Request(input, init);
      const response = await fetch(input, init);
      const route = routeOf(request.method, request.url);
      // SDKs ask `data:,` to find out what fetch can do.
      if (request.url.startsWith('data:') || (response.ok && route === BYTES)) return response;
      checked.set(route, (checked.get(route) ?? 0) + 1);
      const copy = response.clone();
      pending.push(checkReply(route, copy).then((found) => found.map((problem) => `${route} ${response.status}: ${problem}`)));
      return response;
    },
    async problems() {
      const settled = await Promise.all(pending);
      pending = [];
      return [...new Set(settled.flat())];
    },
  };
};

// Receives FANA's webhooks: verifies the signature, takes each event once, prints it. The signatures follow Standard Webhooks, so any of
// its libraries does; `client.webhooks.unwrap` of the openai package verifies the same headers.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { readSettings } from './settings.mjs';

const settings = readSettings(`
Registers itself as a webhook endpoint, prints every event once, and removes the endpoint on Ctrl-C.

  node examples/webhook-receiver.mjs [--port PORT] [--url URL]

PORT is 4000; URL is where FANA reaches it (default http://127.0.0.1:PORT/). FANA sends to private addresses only when it is started
with FANA_ALLOW_PRIVATE_NETWORK=true.
`);
const { values } = parseArgs({ options: { port: { type: 'string', default: '4000' }, url: { type: 'string' } } });

const MAX_BODY_BYTES = 100_000;
/** @type {string} */
let secret = '';
/** Ids of events that were taken. A real receiver keeps them with its data, for a week: deliveries are repeated until they are answered. */
const taken = new Set();

/** The body exactly as it came: the signature is over its bytes. @param {import('node:http').IncomingMessage} request */
const readBody = async (request) => {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};

/** Answers fast, and 2xx for what it has seen before: anything else is sent again. @param {import('node:http').IncomingMessage} request */
const receive = async (request) => {
  const body = await readBody(request);
  /** @type {any} */
  let event;
  try {
    event = new Webhook(secret).verify(body, /** @type {Record<string, string>} */ (request.headers));
  } catch (error) {
    console.error(`refused: ${error instanceof Error ? error.message : error}`);
    return 400;
  }
  const id = String(request.headers['webhook-id']);
  if (taken.has(id)) {
    console.log(`again ${id}: already taken`);
    return 200;
  }
  taken.add(id);
  console.log(`${event.type} ${event.data.id} ${event.data.status} (${id})`);
  return 200;
};

const server = createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    () => response.destroy(),
  );
});
// From this machine alone, unless FANA is said to come from elsewhere.
server.listen(Number(values.port), values.url ? '0.0.0.0' : '127.0.0.1');
await once(server, 'listening');
const address = /** @type {import('node:net').AddressInfo} */ (server.address());

const client = new OpenAI(settings);
const types = (await client.webhooks.eventTypes.list()).data;
const url = values.url ?? `http://127.0.0.1:${address.port}/`;
const endpoint = await client.webhooks
  .create({
    name: 'examples/webhook-receiver.mjs',
    url,
    event_types: /** @type {OpenAI.Webhooks.WebhookCreateParams['event_types']} */ (types),
  })
  .catch((error) => {
    if (!(error instanceof OpenAI.APIError) || error.code !== 'invalid_url') throw error;
    console.error(`FANA does not send to ${url}: ${error.message}`);
    console.error('For an address of your own network, start it with FANA_ALLOW_PRIVATE_NETWORK=true.');
    process.exit(1);
  });
secret = endpoint.signing_secret;
console.log(`listening on ${endpoint.url} for ${types.length} types of events`);

const stop = async () => {
  await client.webhooks.delete(endpoint.id);
  server.close();
  server.closeAllConnections();
};
process.once('SIGINT', stop);
process.once('SIGTERM', stop);

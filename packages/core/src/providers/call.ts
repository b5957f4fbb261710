import type { Agent, Dispatcher } from 'undici';
import type { CallOptions } from './provider.ts';
import { collecting, type Reply, type Sink, streaming } from './reply-body.ts';

/** Time and size limits of one call. */
export type Limits = {
  /** From the written request to the head of the reply. */
  firstByteMs: number;
  /** Between two pieces of the reply. */
  idleMs: number;
  /** From the call to the last byte. */
  totalMs: number;
  /** Of the reply's body. */
  maxBytes: number;
  /** A connection of its own, so that none that died while idle can make the outcome unknown. */
  ownConnection?: boolean;
};

/** Why a call was given up on this side; `dropped`: by the SDK, which could not go on reading. */
export type StopReason = 'aborted' | 'dropped' | 'first_byte' | 'idle' | 'total' | 'too_large' | 'sent_twice';

/** What is known of a call; promise 2 is read off it. */
export type CallState = {
  /** The request was handed to a connected socket. Before that nothing can have happened at the provider. */
  written: boolean;
  /** The whole reply was received, whatever its status. */
  complete: boolean;
  stopped?: StopReason;
  reply?: Reply;
};

/** What an SDK calls the network with. `Response` keeps SDKs from probing for it with a request of their own. */
type CallFetch = ((input: string | URL | Request, init?: RequestInit) => Promise<Response>) & { Response: typeof Response };

/** One provider call: `fetch` may be used for one request, `state` says what became of it. */
export type Call = { fetch: CallFetch; state: CallState };

/** After the last event of a stream its end is waited for this long, so that the connection can be used again. */
const DRAIN_MS = 1000;

/** The error a call ends with when we gave it up; never an `AbortError`, which SDK streams swallow. */
class CallStopped extends Error {
  constructor(reason: StopReason) {
    super(`provider call stopped: ${reason}`);
    this.name = 'CallStopped';
  }
}

const TIMEOUTS: Readonly<Record<string, StopReason>> = { UND_ERR_HEADERS_TIMEOUT: 'first_byte', UND_ERR_BODY_TIMEOUT: 'idle' };

const headersOf = (raw: Record<string, string | string[] | undefined>): Headers => {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) headers.append(name, one);
  }
  return headers;
};

/** The whole request in memory, so that head and body are written to the socket in one go: it was written, or it was not. */
const encode = async (init: RequestInit): Promise<{ headers: Record<string, string>; body: Buffer | null }> => {
  const headers = Object.fromEntries(new Headers(init.headers));
  if (init.body === undefined || init.body === null) return { headers, body: null };
  if (typeof init.body === 'string') return { headers, body: Buffer.from(init.body) };
  // Response encodes forms as multipart and tells the boundary.
  const encoded = new Response(init.body);
  const type = encoded.headers.get('content-type');
  if (type !== null) headers['content-type'] ??= type;
  return { headers, body: Buffer.from(await encoded.arrayBuffer()) };
};

/** Who hears of a request: `done` when it has ended, however. */
type Hooks = { onReply: CallOptions['onReply'] | undefined; done: () => void };

/** Follows one request through the dispatcher and keeps `state` true at every moment. */
class CallHandler implements Dispatcher.DispatchHandler {
  readonly response: Promise<Response>;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: Error) => void;
  readonly #state: CallState;
  readonly #limits: Limits;
  readonly #hooks: Hooks;
  #controller: Dispatcher.DispatchController | undefined;
  #sink: Sink | undefined;
  #received = 0;
  #settled = false;

  constructor(state: CallState, limits: Limits, hooks: Hooks) {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.response = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#state = state;
    this.#limits = limits;
    this.#hooks = hooks;
  }

  /** Gives the call up. One that is not written yet never will be: `onRequestStart` sees it. */
  stop(reason: StopReason): void {
    if (this.#settled) return;
    this.#state.stopped ??= reason;
    this.#fail(new CallStopped(this.#state.stopped));
    this.#controller?.abort(new CallStopped(this.#state.stopped));
  }

  // Called right before the first byte goes to a connected socket (undici client-h1 writeH1); an abort in here writes nothing.
  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#state.written) this.#state.stopped ??= 'sent_twice';
    this.#controller = controller;
    if (this.#state.stopped) controller.abort(new CallStopped(this.#state.stopped));
    else this.#state.written = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, raw: Record<string, string | string[] | undefined>): void {
    if (status < 200) return;
    const headers = headersOf(raw);
    this.#state.reply = { status, headers };
    this.#hooks.onReply?.(status, headers);
    const events = status < 300 && (headers.get('content-type') ?? '').startsWith('text/event-stream');
    this.#sink = events
      ? streaming(status, headers, { resume: () => controller.resume(), abandon: () => this.#abandon(controller) })
      : collecting(this.#state.reply);
    if (this.#sink.response) this.#resolve(this.#sink.response);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received > this.#limits.maxBytes) this.stop('too_large');
    else if (this.#sink?.push(chunk) === false) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#state.complete = true;
    const response = this.#sink?.end();
    if (response) this.#resolve(response);
    this.#hooks.done();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    const reason = 'code' in error && typeof error.code === 'string' ? TIMEOUTS[error.code] : undefined;
    if (reason && !this.#settled) this.#state.stopped ??= reason;
    this.#fail(error);
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#reject(error);
    this.#sink?.fail(error);
    this.#hooks.done();
  }

  /** The reader has all it wants: the rest is let through for a moment, then the connection is given up. */
  #abandon(controller: Dispatcher.DispatchController): void {
    if (this.#settled) return;
    controller.resume();
    setTimeout(() => this.stop('dropped'), DRAIN_MS).unref();
  }
}

/**
 * Prepares one call. The options' `signal` gives it up: before the request is written nothing is sent, after it the connection is cut at once.
 * The SDK is not given `signal` itself, so that a reply that is complete is never thrown away.
 */
export const createCall = (agent: Agent, limits: Limits, { signal, onReply }: CallOptions): Call => {
  const state: CallState = { written: false, complete: false };
  const send = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input);
    const { headers, body } = await encode(init);
    const onAbort = (): void => handler.stop('aborted');
    const onDrop = (): void => handler.stop('dropped');
    const timer = setTimeout(() => handler.stop('total'), limits.totalMs);
    const handler = new CallHandler(state, limits, {
      onReply,
      done: () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        init.signal?.removeEventListener('abort', onDrop);
      },
    });
    signal.addEventListener('abort', onAbort);
    init.signal?.addEventListener('abort', onDrop);
    if (signal.aborted) onAbort();
    else if (init.signal?.aborted) onDrop();
    else {
      agent.dispatch(
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method: (init.method ?? 'GET').toUpperCase() as Dispatcher.HttpMethod,
          headers,
          body,
          headersTimeout: limits.firstByteMs,
          bodyTimeout: limits.idleMs,
        },
        handler,
      );
    }
    return handler.response;
  };
  return { fetch: Object.assign(send, { Response }), state };
};

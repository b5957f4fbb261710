/** The head of a reply; `text` is the body of one that is not 2xx. */
export type Reply = { status: number; headers: Headers; text?: string };

/** A slow reader is waited for above this; below, the end of a reply is seen at once and its connection is free again. */
const BUFFERED_BYTES = 65_536;

/** How a reply's body reaches the SDK. `push` answers false when nobody can take more now. */
export type Sink = { response: Response | undefined; push: (chunk: Buffer) => boolean; end: () => Response | undefined; fail: (error: Error) => void };

/** Event streams go on as they come. */
export const streaming = (status: number, headers: Headers, flow: { resume: () => void; abandon: () => void }): Sink => {
  let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        feed = controller;
      },
      pull: flow.resume,
      cancel: () => {
        feed = undefined;
        flow.abandon();
      },
    },
    { highWaterMark: BUFFERED_BYTES, size: (chunk) => chunk?.byteLength ?? 0 },
  );
  return {
    response: new Response(body, { status, headers }),
    push: (chunk) => {
      feed?.enqueue(chunk);
      return feed === undefined || (feed.desiredSize ?? 0) > 0;
    },
    end: () => {
      feed?.close();
      feed = undefined;
      return undefined;
    },
    fail: (error) => {
      feed?.error(error);
      feed = undefined;
    },
  };
};

/** Everything else is answered once it is complete, so that a cut body is never taken for a reply. */
export const collecting = (reply: Reply): Sink => {
  const chunks: Buffer[] = [];
  return {
    response: undefined,
    push: (chunk) => {
      chunks.push(chunk);
      return true;
    },
    end: () => {
      const body = Buffer.concat(chunks);
      const ok = reply.status >= 200 && reply.status < 300;
      if (!ok) reply.text = body.toString('utf8', 0, 65_536);
      const empty = body.length === 0 || reply.status === 204 || reply.status === 205 || reply.status === 304;
      // Response takes 200 to 599; a stranger status is kept in `reply`.
      const status = reply.status >= 200 && reply.status <= 599 ? reply.status : 502;
      return new Response(empty ? null : body, { status, headers: reply.headers });
    },
    // Nothing was handed out yet: the call itself fails.
    fail: () => undefined,
  };
};

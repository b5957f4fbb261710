/** One server-sent event as it arrived. */
export type ReceivedEvent = {
  id: string;
  type: string;
  data: { type: string; job_id: string; attempt: number; created_at: number; delta?: string; job?: { status: string; output: { text?: string } | null } };
};

/** Reads a stream of server-sent events until it ends, or until `enough` says so (the connection is then cut). */
export const readServerSentEvents = async (response: Response, enough: (events: ReceivedEvent[]) => boolean = () => false): Promise<ReceivedEvent[]> => {
  const events: ReceivedEvent[] = [];
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return events;
  let buffer = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return events;
    buffer += value;
    let end = buffer.indexOf('\n\n');
    for (; end >= 0; end = buffer.indexOf('\n\n')) {
      const lines = buffer.slice(0, end).split('\n');
      buffer = buffer.slice(end + 2);
      const field = (name: string): string | undefined =>
        lines
          .find((line) => line.startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trim();
      const data = field('data');
      if (data === undefined) continue;
      events.push({ id: field('id') ?? '', type: field('event') ?? '', data: JSON.parse(data) });
      if (enough(events)) {
        await reader.cancel();
        return events;
      }
    }
  }
};

import type { JobEvent } from '../jobs/events.ts';
import type { AnswerChoice, JobRecord, Logprobs, TextOutput } from '../jobs/job.ts';
import type { AnswerDelta, ChoiceDelta } from '../providers/provider.ts';
import { choicesOf, completionId, completionUsage } from './chat-completions.ts';

/** `chat.completion.chunk` objects, in their order. */
export type Chunks = {
  /** What a piece of the job's output says. */
  piece: (event: Pick<JobEvent, 'delta' | 'choices'>) => object[];
  /** The end of every answer, and all of an answer of which no piece was told; then usage, if it was asked for. */
  end: (job: JobRecord, output: TextOutput) => object[];
};

const tellLogprobs = (logprobs: Logprobs | undefined) => (logprobs ? { content: null, refusal: null, ...logprobs } : null);

/** The pieces of one event by their answers: text of the first one apart from everything else (jobs/events.ts). */
const deltasOf = ({ delta: content = '', choices = [] }: Pick<JobEvent, 'delta' | 'choices'>): ChoiceDelta[] => {
  const first = choices.find(({ index }) => index === 0);
  const others = choices.filter(({ index }) => index !== 0);
  if (content === '' && !first) return others;
  const delta: AnswerDelta = { ...(content !== '' && { content }), ...first?.delta };
  return [{ index: 0, delta, ...(first?.logprobs && { logprobs: first.logprobs }) }, ...others];
};

/** A whole answer as if it came in one piece. */
const wholeOf = ({ message, logprobs }: AnswerChoice, index: number): ChoiceDelta => {
  const { tool_calls: calls, ...said } = message;
  const delta: AnswerDelta = { ...said, ...(calls && { tool_calls: calls.map((call, at) => ({ index: at, ...call })) }) };
  return { index, delta, ...(logprobs && { logprobs }) };
};

/** The stream of a chat completion, in OpenAI's exact form. `job` names the model from its last attempt, or from its end. */
export const createChunks = (job: JobRecord, includeUsage: boolean): Chunks => {
  const begun = new Set<number>();
  const head = {
    id: completionId(job.id),
    object: 'chat.completion.chunk',
    created: Math.floor(job.createdMs / 1000),
    model: job.servedBy?.model ?? job.attempts.at(-1)?.model ?? job.spec.model,
  };
  const usage = includeUsage ? { usage: null } : {};

  const chunk = (index: number, delta: object, logprobs: Logprobs | undefined, finishReason: string | null, envelope: object = {}): object => ({
    ...head,
    ...envelope,
    choices: [{ index, delta, logprobs: tellLogprobs(logprobs), finish_reason: finishReason }],
    ...usage,
  });

  const say = ({ index, delta, logprobs }: ChoiceDelta): object[] => {
    const said = chunk(index, delta, logprobs, null);
    if (begun.has(index)) return [said];
    begun.add(index);
    return [chunk(index, { role: 'assistant', content: delta.content === undefined ? null : '', refusal: null }, undefined, null), said];
  };

  return {
    piece: (event) => deltasOf(event).flatMap(say),
    end(ended, output) {
      const choices = choicesOf(output);
      const missing = choices.flatMap((choice, index) => (begun.has(index) ? [] : say(wholeOf(choice, index))));
      const ends = choices.map(({ finishReason }, index) => chunk(index, {}, undefined, finishReason, output.envelope));
      const counted = includeUsage ? [{ ...head, ...output.envelope, choices: [], usage: completionUsage(ended.usage) }] : [];
      return [...missing, ...ends, ...counted];
    },
  };
};

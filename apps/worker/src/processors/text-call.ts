import type { Deps } from '@fana/core/deps.ts';
import type { Conversation } from './conversation.ts';
import type { ProcessResult, Run } from './processor.ts';

/** Makes the one call of a chat or vision job, publishing its text as it comes. */
export const callForText = async (deps: Deps, run: Run, { messages, warnings }: Conversation): Promise<ProcessResult> => {
  const { job } = run;
  // On `/v1/jobs` it is said with each picture, not as a parameter of the call.
  const { detail: _detail, ...native } = job.spec.parameters;
  const isPassedOn = job.spec.endpoint !== undefined;
  const parameters = isPassedOn ? job.spec.parameters : native;
  const { result, target } = await run.call(deps.providers.targets(job.spec.model, job.spec.type === 'vision' ? 'vision' : 'chat'), (to, options) => {
    if (!to.provider.chat) throw new Error(`provider ${to.provider.name} has no chat`);
    return to.provider.chat({ model: to.model, messages, parameters, keepRefusals: isPassedOn }, { ...options, onDelta: run.emit });
  });
  // At least one piece is always published.
  if (result.text === '') run.emit({ index: 0, delta: {} });
  const { text, finishReason, choices, envelope } = result;
  return {
    // What only OpenAI's shape has a place for is kept for the routes that speak it.
    output: { kind: 'text', text, finishReason, ...(isPassedOn && choices && { choices }), ...(isPassedOn && envelope && { envelope }) },
    usage: result.usage,
    servedBy: { provider: target.provider.name, model: result.model },
    warnings: [...target.warnings, ...warnings],
    costUsd: deps.providers.costUsd(target.provider.name, target.model, result.usage),
  };
};

import { AppError } from '../../errors.ts';
import type { ToolCall } from '../../jobs/job.ts';
import { instanceOf } from './schema-instance.ts';

type Tool = { type?: string; function?: { name?: string; parameters?: unknown }; custom?: { name?: string } };
type Choice = { type?: string; function?: { name?: string }; custom?: { name?: string }; allowed_tools?: { mode?: string; tools?: Tool[] } };

const nameOf = ({ function: called, custom }: Pick<Tool, 'function' | 'custom'>): string | undefined => called?.name ?? custom?.name;

/** The tool that `tool_choice` leaves no way around; a simulated answer calls no other. */
const forcedTool = (tools: Tool[], choice: unknown): Tool | undefined => {
  if (choice === 'required') return tools[0];
  if (typeof choice !== 'object' || choice === null) return undefined;
  const { allowed_tools: allowed, ...named } = choice as Choice;
  if (allowed) return allowed.mode === 'required' ? tools.find((tool) => allowed.tools?.some((one) => nameOf(one) === nameOf(tool))) : undefined;
  const tool = tools.find((one) => nameOf(one) === nameOf(named));
  if (!tool) throw new AppError('invalid_request', 'tool_choice: names no tool of the request.', { param: 'tool_choice' });
  return tool;
};

/** Arguments are an object, also where nothing is said of them. */
const saysSomething = (schema: unknown): boolean => typeof schema === 'object' && schema !== null && Object.keys(schema).length > 0;

/**
 * The call of a tool that the request forces, with arguments its schema allows; undefined when none is forced.
 * @throws AppError `invalid_request` (param `tool_choice`) for a tool that is not there, `unsupported_parameter` (param `tools`) for a
 *   schema no arguments can be made up for.
 */
export const forcedCall = ({ tools, tool_choice: choice }: Record<string, unknown>): ToolCall | undefined => {
  const tool = forcedTool(Array.isArray(tools) ? (tools as Tool[]) : [], choice);
  if (!tool) return undefined;
  if (tool.custom) return { type: 'custom', custom: { name: tool.custom.name ?? '', input: 'simulated' } };
  const { name = '', parameters } = tool.function ?? {};
  return { type: 'function', function: { name, arguments: JSON.stringify(instanceOf(saysSomething(parameters) ? parameters : { type: 'object' }, 'tools')) } };
};

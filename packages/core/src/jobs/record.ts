import type { Attempt, JobRecord, JobStatus } from './job.ts';
import { PICTURE_FIELD } from './picture-field.ts';
import { decodeSpec } from './spec-line.ts';

const picturesOf = (hash: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(hash).filter(([field]) => field.startsWith(PICTURE_FIELD)));

/** Turns the hash of a job into its record; fields of steps that have not happened are left out. */
export const decodeRecord = (id: string, hash: Record<string, string>): JobRecord => {
  const attempts: Attempt[] = [];
  const attemptCount = Number(hash['attempt_count'] ?? 0);
  for (let number = 1; number <= attemptCount; number++) {
    const line = hash[`attempt:${number}`];
    if (line !== undefined) attempts.push(JSON.parse(line));
  }
  const spec = decodeSpec(hash['spec'] ?? '{}');
  return {
    id,
    spec,
    status: hash['status'] as JobStatus,
    run: Number(hash['run']),
    createdMs: Number(hash['created_ms']),
    attempts,
    earlierCalls: Number(hash['earlier_calls'] ?? 0),
    warnings: hash['result_warnings'] === undefined ? spec.warnings : [...spec.warnings, ...JSON.parse(hash['result_warnings'])],
    pictures: picturesOf(hash),
    cancelRequested: hash['status'] === 'cancelling',
    ...(hash['queued_ms'] !== undefined && { queuedMs: Number(hash['queued_ms']) }),
    ...(hash['started_ms'] !== undefined && { startedMs: Number(hash['started_ms']) }),
    ...(hash['waited_ms'] !== undefined && { waitedMs: Number(hash['waited_ms']) }),
    ...(hash['finished_ms'] !== undefined && { finishedMs: Number(hash['finished_ms']) }),
    ...(hash['expires_ms'] !== undefined && { expiresMs: Number(hash['expires_ms']) }),
    ...(hash['language'] !== undefined && { language: hash['language'] }),
    ...(hash['output'] !== undefined && { output: JSON.parse(hash['output']) }),
    ...(hash['output_blob'] !== undefined && { outputBlobId: hash['output_blob'] }),
    ...(hash['usage'] !== undefined && { usage: JSON.parse(hash['usage']) }),
    ...(hash['cost_usd'] !== undefined && { costUsd: Number(hash['cost_usd']) }),
    ...(hash['served_by'] !== undefined && { servedBy: JSON.parse(hash['served_by']) }),
    ...(hash['error'] !== undefined && { error: JSON.parse(hash['error']) }),
    ...(hash['sources'] !== undefined && { sources: JSON.parse(hash['sources']) }),
    ...(hash['session'] !== undefined && { session: { id: hash['session'], turn: Number(hash['turn']) } }),
    ...(hash['waiting'] !== undefined && { isWaiting: true }),
    ...(hash['aside'] !== undefined && { aside: hash['aside'] }),
    ...(hash['end_event'] !== undefined && { endEventId: hash['end_event'] }),
  };
};

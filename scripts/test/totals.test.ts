import { expect, it } from 'vitest';
import { closingLine, totals } from '../test.mjs';

const file = (status: string, ...tests: string[]) => ({ status, assertionResults: tests.map((test) => ({ status: test })) });
const report = (files: ReturnType<typeof file>[]) => {
  const count = (status: string) => files.flatMap((one) => one.assertionResults).filter((test) => test.status === status).length;
  return {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count('skipped'),
    numTodoTests: count('todo'),
    testResults: files,
  };
};

it('counts the tests that passed and failed', () => {
  expect(closingLine(totals(report([file('passed', 'passed', 'passed'), file('failed', 'passed', 'failed')])))).toBe('3 passed, 1 failed');
});

it('counts a file that broke before its tests ran as a failure', () => {
  expect(closingLine(totals(report([file('passed', 'passed'), file('failed')])))).toBe('1 passed, 1 failed');
});

it('tells of skipped tests', () => {
  expect(closingLine(totals(report([file('passed', 'passed', 'skipped', 'todo')])))).toBe('1 passed, 0 failed, 2 skipped');
});

it('knows of no test when there is no report', () => {
  expect(closingLine(totals(undefined))).toBe('0 passed, 0 failed');
});

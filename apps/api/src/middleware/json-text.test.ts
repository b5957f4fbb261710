import { describe, expect, test } from 'vitest';
import { jsonProblem } from './json-text.ts';

describe('what is wrong with a text', () => {
  const problemOf = (text: string): string => {
    try {
      JSON.parse(text);
    } catch (error) {
      return jsonProblem(error);
    }
    throw new Error('the text is JSON');
  };

  test.each([
    ['', /ends too early/],
    ['{', /expected property name or '}' at line 1 column 2/],
    ['{"a":1,}', /expected double-quoted property name at line 1 column 8/],
    ["{'a':1}", /expected property name or '}' at line 1 column 2/],
    ['{"a" 1}', /expected ':' after property name at line 1 column 6/],
    ['{"a":1\n"b":2}', /expected ',' or '}' after property value at line 2 column 1/],
    ['[1 2]', /expected ',' or '\]' after array element at line 1 column 4/],
    ['{"a":"b', /unterminated string at line 1 column 8/],
    ['{"a":"\n"}', /bad control character in string literal at line 1 column 7/],
    ['{"a":"\\x"}', /bad escaped character at line 1 column 8/],
    ['{} {}', /unexpected non-whitespace character at line 1 column 4/],
    ['{"a":-}', /no number after minus sign at line 1 column 7/],
    ['{"a":secretvalue}', /a character where none of its kind may stand/],
  ])('%j is told', (text, problem) => {
    expect(problemOf(text)).toMatch(problem);
  });

  test('never repeats the text', () => {
    for (const text of ['{"a":SECRET}', 'SECRET', '{"a":1}SECRET', '{"SECRET":SECRET}', '{"SECRET"1}', '["SECRET" 1', "{'SECRET'"]) {
      expect(problemOf(text)).not.toMatch(/S|ECRET/);
    }
  });
});

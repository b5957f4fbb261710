import { hash } from 'node:crypto';
import { customAlphabet } from 'nanoid';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
// 22 characters of base62 are 130.9 random bits (at least 128 are promised).
const random22 = customAlphabet(BASE62, 22);

/** What an id is of; the contract lists more, which join with their features. */
export type IdPrefix =
  | 'job'
  | 'resp'
  | 'msg'
  | 'fc'
  | 'call'
  | 'batch'
  | 'ses'
  | 'turn'
  | 'file'
  | 'blob'
  | 'key'
  | 'whe'
  | 'evt'
  | 'whd'
  | 'req'
  | 'lease'
  | 'col'
  | 'doc';

/** A new unguessable id, e.g. `job_0aB…`. It never contains `:` and is never all digits (BullMQ refuses both). */
export const newId = (prefix: IdPrefix): string => `${prefix}_${random22()}`;

/**
 * The id of something that is made from `source` and is made again, under the same id, by whoever repeats a step that died: as hard to guess as
 * the id it comes from.
 */
export const derivedId = (prefix: IdPrefix, source: string, name: string): string => {
  const digest = hash('sha512', `${source}\n${name}`, 'buffer');
  return `${prefix}_${Array.from(digest.subarray(0, 22), (byte) => BASE62[byte % 62]).join('')}`;
};

const ID = /^[a-z]+_[0-9A-Za-z]{22}$/;

/** Whether `value` has the form of an id with that prefix: a cheap check before Redis is asked. */
export const isId = (prefix: IdPrefix, value: string): boolean => value.startsWith(`${prefix}_`) && ID.test(value);

/** The id of the same thing under another name: a response is a job, so `resp_X` is `job_X`. */
export const renameId = (prefix: IdPrefix, id: string): string => `${prefix}${id.slice(id.lastIndexOf('_'))}`;

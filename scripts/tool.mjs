import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ROOT, withBin } from './node-binary.mjs';

/** After a SIGINT a tool that heard it from the terminal itself is given this long, before it is passed on. */
const PASS_ON_MS = 1000;

/**
 * Runs a program of the installation in the foreground, from the root of the repository.
 * A SIGTERM is passed on; a SIGINT only when the program does not end by itself, because the terminal sends it to the whole group.
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env added to the environment
 * @returns {Promise<number>} its exit code; 128 + the signal's number when a signal ended it
 */
export const runTool = (program, args, env = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: ROOT, env: { ...withBin(), ...env }, stdio: 'inherit' });
    const terminate = () => child.kill('SIGTERM');
    const interrupt = () => setTimeout(() => child.kill('SIGINT'), PASS_ON_MS).unref();
    process.on('SIGTERM', terminate).on('SIGINT', interrupt);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.off('SIGTERM', terminate).off('SIGINT', interrupt);
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });

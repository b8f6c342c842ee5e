/** Code in a process of its own: for what a process can do only once, or must not do to the test. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';

const NATIVE = new URL('../../src/os/native.ts', import.meta.url).href;

/** Whether a variable (`NAME` or `NAME=value`) is of those that tap gives to every process that a test starts. */
export function isTaps(variable: string): boolean {
  return /^(?:NODE_OPTIONS|_TAPJS)/.test(variable);
}

/** The environment of a child, without them where that can be had. */
export const ENV: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !isTaps(name)),
);

/** Of these, what a sanitizer needs (test/native/asan), for children that get an environment of their own. */
export const SANITIZER: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(ENV).filter(([name]) => name === 'LD_PRELOAD' || name.endsWith('SAN_OPTIONS')),
);

/** Longest a child may take, milliseconds. Nothing here takes a tenth of it. */
const PATIENCE = 60_000;

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Bytes, as latin1. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Arguments of node for a module that has `native` and all of node:fs at hand. */
export function moduleArgs(code: string): string[] {
  const head = `import { native, errorCode } from ${JSON.stringify(NATIVE)};
import * as fs from 'node:fs';
const codeOf = call => { try { call(); return 'ok'; } catch (error) { return error.code ?? error.name; } };
`;
  return ['--input-type=module', '-e', head + code];
}

/** Runs it to its end. */
export function inChild(code: string, options: SpawnOptions = {}): Outcome {
  return run(process.execPath, moduleArgs(code), options);
}

/** As inChild, and reads what it printed as JSON. */
export function resultOf(code: string, options: SpawnOptions = {}): unknown {
  const outcome = inChild(code, options);
  if (outcome.status !== 0) throw new Error(`child: ${JSON.stringify(outcome)}`);
  return JSON.parse(outcome.stdout);
}

/** Runs a program to its end. */
export function run(file: string, args: readonly string[], options: SpawnOptions = {}): Outcome {
  const { status, signal, stdout, stderr, error } = spawnSync(file, args, {
    env: ENV,
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
    ...(options as object),
    encoding: 'latin1',
  });
  if (error) throw error;
  return { status, signal, stdout, stderr };
}

/** Starts it beside the test. */
export function beside(code: string, options: SpawnOptions = {}): ChildProcess {
  return spawn(process.execPath, moduleArgs(code), { env: ENV, ...options });
}

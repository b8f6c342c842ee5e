/**
 * How this process was started, byte for byte, before Node made it its own.
 *
 * Node decodes arguments and environment as UTF-8, which loses what is not; ignores and resets signals; raises the
 * limit of descriptors. The shell that ttyspy becomes must find everything as sshd left it. So arguments and environment
 * are read from /proc as strings of bytes (latin1), and the launcher (src/native/launch.c) tells the rest.
 */
import { readFileSync } from 'node:fs';

/** Variables with which the launcher hides from Node what the shell is to have again. */
const KEPT = 'TTYSPY_ENV_';
const OWN = ['TTYSPY_LAUNCH', 'TTYSPY_CALLED'];

export interface Launch {
  /** As execve(2) gave it: `-ttyspy-shell` for a login shell. */
  readonly argv0: string;
  /** The file's name by which the program was called: `ttyspy`, `ttyspy-shell-zsh`. */
  readonly called: string;
  readonly args: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  /** Changes (`NAME=value`, `NAME`) that give the environment of this process back to what the launcher found. */
  readonly restore: readonly string[];
  /** Sets of signals (bit N for signal N) that were ignored and blocked. */
  readonly ignored: bigint;
  readonly blocked: bigint;
  /** Soft limit of descriptors (RLIMIT_NOFILE), -1 when nobody told. */
  readonly nofile: number;
}

/** Reads it. To be called before the process makes itself unreadable (PR_SET_DUMPABLE). */
export function readLaunch(): Launch {
  const env = new Map(
    split(readFileSync('/proc/self/environ', 'latin1')).map(variable => {
      const equals = variable.indexOf('=');
      return equals < 0 ? [variable, ''] : [variable.slice(0, equals), variable.slice(equals + 1)];
    }),
  );
  const argv = split(readFileSync('/proc/self/cmdline', 'latin1'));
  const [ignored, blocked, nofile] = (env.get('TTYSPY_LAUNCH') ?? '').split(':');
  const restore = [...OWN];
  for (const [name, value] of [...env]) {
    if (!name.startsWith(KEPT)) continue;
    restore.push(name, `${name.slice(KEPT.length)}=${value}`);
    env.set(name.slice(KEPT.length), value);
    env.delete(name);
  }
  const called = env.get('TTYSPY_CALLED') ?? 'ttyspy';
  for (const name of OWN) env.delete(name);
  return {
    argv0: argv[0] ?? called,
    called,
    // node's flags, the script, then ours: as many as Node itself left over.
    args: process.argv.length > 2 ? argv.slice(2 - process.argv.length) : [],
    env,
    restore,
    ignored: signals(ignored),
    blocked: signals(blocked),
    nofile: nofile ? Number(nofile) : -1,
  };
}

/** What is NUL-terminated in /proc. An empty argument is one, too. */
function split(text: string): string[] {
  return text === '' ? [] : text.slice(0, text.endsWith('\0') ? -1 : undefined).split('\0');
}

function signals(hexadecimal: string | undefined): bigint {
  return hexadecimal && /^[0-9a-f]{1,16}$/.test(hexadecimal) ? BigInt(`0x${hexadecimal}`) : 0n;
}

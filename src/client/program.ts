/** Which program ttyspy becomes. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Invocation } from './invocation.ts';

/** Strings of bytes (latin1). */
export interface Program {
  readonly path: string;
  readonly argv: readonly string[];
  /** The user's real shell, for SHELL. */
  readonly shell: string;
}

/** Where distributions keep OpenSSH's sftp-server(8). */
const SFTP_SERVERS = [
  '/usr/lib/openssh/sftp-server',
  '/usr/libexec/openssh/sftp-server',
  '/usr/lib/ssh/sftp-server',
  '/usr/libexec/sftp-server',
];

/**
 * @param passwdShell login shell of the passwd database
 * @param confShell the directive `shell`
 * @param command SSH_ORIGINAL_COMMAND
 */
export function chooseProgram(
  invocation: Invocation,
  passwdShell: string,
  confShell: string | null,
  command: string | undefined,
): Program {
  const shell = realShell(invocation.shellName, passwdShell, confShell);
  const [filter] = invocation.filter;
  if (filter !== undefined) return { path: filter, argv: invocation.filter, shell };
  if (invocation.asShell) return becomeShell(shell, invocation.login, invocation.shellArgs);
  if (command === undefined || command === '') return becomeShell(shell, true, []);
  return internalSftp(command, shell) ?? { path: shell, argv: [basename(shell), '-c', command], shell };
}

function becomeShell(shell: string, login: boolean, args: readonly string[]): Program {
  return { path: shell, argv: [`${login ? '-' : ''}${basename(shell)}`, ...args], shell };
}

/**
 * Under ForceCommand sshd passes `Subsystem sftp internal-sftp` on as if it were a command. Its options are
 * sftp-server's own.
 */
function internalSftp(command: string, shell: string): Program | null {
  const words = command.trim().split(/[ \t]+/);
  if (words[0] !== 'internal-sftp') return null;
  const server = SFTP_SERVERS.find(isExecutable);
  return server === undefined ? null : { path: server, argv: ['sftp-server', ...words.slice(1)], shell };
}

/** The shell behind ttyspy-shell, never ttyspy-shell itself. */
function realShell(name: string | null, passwdShell: string, confShell: string | null): string {
  const enrolled = /(?:^|\/)ttyspy-shell(?:-([^/]+))?$/.exec(passwdShell);
  const wanted = name ?? enrolled?.[1];
  if (wanted !== undefined) {
    const found = shells().find(shell => basename(shell) === wanted);
    if (found !== undefined) return found;
  }
  if (!enrolled && name === null && passwdShell !== '') return passwdShell;
  return confShell ?? (isExecutable('/bin/bash') ? '/bin/bash' : '/bin/sh');
}

/** shells(5), those that are there. A name that stands in it only as ours does not count. */
function shells(): string[] {
  let text = '';
  try {
    text = readFileSync('/etc/shells', 'latin1');
  } catch {
    // No such file: the usual places below.
  }
  const listed = text.split('\n').filter(line => line.startsWith('/') && !line.includes('ttyspy-shell'));
  return listed.filter(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

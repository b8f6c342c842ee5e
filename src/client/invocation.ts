/** What ttyspy was asked to do: from its name and arguments, nothing else. Pure. */

export interface Invocation {
  /** Called as a login shell (ttyspy-shell) rather than as a ForceCommand or by hand. */
  readonly asShell: boolean;
  /** Whether the shell it becomes is a login shell. */
  readonly login: boolean;
  /** `-c FILE`, only where an admin or the user at the keyboard can have said it. */
  readonly config: string | null;
  /** Filter arguments: the program to become instead of the shell. */
  readonly filter: readonly string[];
  /** ttyspy-shell's arguments, which are the real shell's. */
  readonly shellArgs: readonly string[];
  /** ttyspy-shell-NAME: the NAME. */
  readonly shellName: string | null;
}

/** Thrown for arguments that make no sense; the message is for the user. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = 'usage: ttyspy [-c FILE] [filter arg...]';

const SHELL = 'ttyspy-shell';

/**
 * @param called the file's name it was called by
 * @param argv0 as execve(2) gave it; login(1) and sshd(8) put a `-` before a login shell's
 * @throws UsageError
 */
export function parseInvocation(called: string, argv0: string, args: readonly string[]): Invocation {
  return called.startsWith(SHELL) ? parseShell(called, argv0, args) : parseCommand(args);
}

function parseCommand(args: readonly string[]): Invocation {
  let config: string | null = null;
  let at = 0;
  // Options end at the first word that is none: what follows belongs to the filter, dashes and all.
  for (; at < args.length && args[at]?.startsWith('-'); at++) {
    if (args[at] === '--') {
      at++;
      break;
    }
    if (args[at] !== '-c') throw new UsageError(`unknown option ${args[at]}; ${USAGE}`);
    config = args[++at] ?? null;
    if (config === null) throw new UsageError(`-c wants a file; ${USAGE}`);
  }
  const filter = args.slice(at);
  if (filter[0] !== undefined && !filter[0].startsWith('/')) {
    throw new UsageError(`${filter[0]}: a filter is named by its absolute path`);
  }
  return { asShell: false, login: true, config, filter, shellArgs: [], shellName: null };
}

function parseShell(called: string, argv0: string, args: readonly string[]): Invocation {
  const shell = {
    asShell: true,
    login: argv0.startsWith('-'),
    config: null,
    shellName: called.startsWith(`${SHELL}-`) ? called.slice(SHELL.length + 1) : null,
  };
  const itself = args.length === 2 && args[0] === '-c' ? forcedItself(args[1] as string) : null;
  if (itself) return { ...shell, asShell: false, login: true, filter: itself, shellArgs: [] };
  return { ...shell, filter: [], shellArgs: args };
}

/**
 * `ttyspy-shell -c "exec /usr/bin/ttyspy FILTER..."`: sshd runs the ForceCommand by the login shell, which is us. Record
 * once. Only plain words: anything the real shell would have to interpret goes to it (and is recorded there). No -c:
 * without a ForceCommand these words are the user's, who must not choose the configuration.
 */
function forcedItself(command: string): readonly string[] | null {
  const words = command.trim().split(/[ \t]+/);
  if (words[0] === 'exec') words.shift();
  const [program, ...filter] = words;
  if (program === undefined || !/^(?:(?:\/[\w.+-]+)*\/)?ttyspy$/.test(program)) return null;
  if (!filter.every(word => /^[\w@%+=:,./-]+$/.test(word))) return null;
  return filter.length === 0 || filter[0]?.startsWith('/') ? filter : null;
}

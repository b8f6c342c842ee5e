/** What the machine must have for a real sshd with real users, and by which path users can reach this checkout. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');

/** Programs that the tests drive; packaging/setup --system installs what brings them. */
const PROGRAMS = [
  'sshd',
  'ssh',
  'ssh-keygen',
  'sftp',
  'scp',
  'rsync',
  'zsh',
  'bash',
  'useradd',
  'setpriv',
  'script',
];
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @returns why the tests cannot run here; null when they can */
export function missing(): string | null {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root: it makes users and runs an sshd';
  const absent = PROGRAMS.filter(program => !find(program));
  if (absent.length > 0) return `needs ${absent.join(', ')}: run packaging/setup --system`;
  if (!existsSync(join(ROOT, 'src/native/build/Release/launch')))
    return 'needs the native build: run npm run setup';
  return null;
}

/** Absolute path of a program; null when there is none. */
export function find(program: string): string | null {
  for (const directory of PATH.split(':')) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Look further.
    }
  }
  return null;
}

/** A checkout that every account can read, and how to put things back. */
export interface Checkout {
  readonly path: string;
  release(): void;
}

/**
 * The checkout itself; or, where it lies below a directory that other accounts cannot enter (a clone below /root), a
 * bind mount of it, since neither its modes nor those above it are the tests' to change.
 * @throws Error when neither will do
 */
export function reachableCheckout(scratch: string): Checkout {
  const barrier = barrierAbove(ROOT);
  if (barrier === null) return { path: ROOT, release: () => {} };
  if (barrier === ROOT) throw new Error(`${ROOT} is not readable by other accounts; chmod go+rX it`);
  const path = join(scratch, 'checkout');
  mkdirSync(path);
  try {
    execFileSync('mount', ['--bind', ROOT, path], { stdio: 'pipe' });
  } catch (error) {
    throw new Error(
      `${barrier} cannot be entered by other accounts, and the checkout below it cannot be mounted elsewhere ` +
        `(${String((error as { stderr?: Buffer }).stderr ?? error).trim()}); chmod o+x ${barrier}, or clone elsewhere`,
    );
  }
  return { path, release: () => execFileSync('umount', ['--lazy', path]) };
}

/** The outermost directory on the way to `path`, itself included, that others cannot enter. */
function barrierAbove(path: string): string | null {
  const above = path === '/' ? null : barrierAbove(dirname(path));
  if (above !== null) return above;
  return (statSync(path).mode & 0o005) === 0o005 || (path !== ROOT && statSync(path).mode & 0o001)
    ? null
    : path;
}

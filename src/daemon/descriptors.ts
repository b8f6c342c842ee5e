/** What came with a hello must be what the hello says: a client may send any descriptor it has. */
import { constants } from 'node:fs';
import { native } from '../os/native.ts';
import type { StreamFds } from './command_session.ts';
import { isLent } from './lent_terminal.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK } = constants;

/** Thrown for a descriptor that cannot be what it is sent as. */
export class DescriptorError extends Error {
  override readonly name = 'DescriptorError';
}

/**
 * Checks a terminal's two descriptors.
 * @param peer who sent them: the terminal must be theirs, or lent by su, or they could have a terminal relayed that was
 *   opened before it became another's
 * @throws DescriptorError
 */
export function checkTerminal(outer: number, inner: number, peer: { uid: number; pid: number }): void {
  const { uid, rdev } = native.describe(outer);
  if (!isA(outer, S_IFCHR) || !attempt(() => native.getTermios(outer))) {
    throw new DescriptorError('the outer descriptor is no terminal');
  }
  if (attempt(() => native.ptyNumber(outer)))
    throw new DescriptorError('the outer descriptor is the master of a pty');
  if (uid !== peer.uid && !isLent(rdev, peer.pid)) {
    throw new DescriptorError('the outer terminal is not yours');
  }
  if (native.accessMode(outer) !== O_RDWR)
    throw new DescriptorError('the outer terminal is not open for both ways');
  if (!isA(inner, S_IFCHR) || !attempt(() => native.ptyNumber(inner))) {
    throw new DescriptorError('the inner descriptor is not the master of a pty');
  }
  if (native.accessMode(inner) !== O_RDWR)
    throw new DescriptorError('the inner pty is not open for both ways');
}

/**
 * Checks a command's streams: pipes or sockets only, since anything else (a file on a slow or hostile file system)
 * could make the daemon wait.
 * @returns the streams; stderr is missing where it is the same as stdout
 * @throws DescriptorError
 */
export function checkStreams(fds: readonly number[]): StreamFds[] {
  const half = fds.length / 2;
  const names = ['input', 'output', 'stderr'] as const;
  return names.slice(0, half).map((name, i) => {
    const [outer, inner] = [fds[i] as number, fds[half + i] as number];
    const stream = name === 'input' ? { name, from: outer, to: inner } : { name, from: inner, to: outer };
    checkStream(stream.from, O_WRONLY, `${name}, reading`);
    checkStream(stream.to, O_RDONLY, `${name}, writing`);
    return stream;
  });
}

function checkStream(fd: number, wrongMode: number, what: string): void {
  if (!isA(fd, S_IFIFO) && !(isA(fd, S_IFSOCK) && native.isConnected(fd))) {
    throw new DescriptorError(`${what}: neither a pipe nor a connected Unix stream socket`);
  }
  if (native.accessMode(fd) === wrongMode) throw new DescriptorError(`${what}: not open for that`);
}

function isA(fd: number, type: number): boolean {
  return (native.describe(fd).mode & S_IFMT) === type;
}

function attempt(call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch {
    return false;
  }
}

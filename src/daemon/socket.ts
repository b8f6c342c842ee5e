/** The socket ttyspyd listens on: systemd's, or one of its own as the original made it. */
import { lstatSync, unlinkSync } from 'node:fs';
import { errorCode, native } from '../os/native.ts';
import type { ListenFd } from '../os/systemd.ts';

/** Everybody may come: who they are the kernel tells. */
const MODE = 0o666;
const BACKLOG = 1024;

/** Names a socket unit may give its descriptor (FileDescriptorName=; by default the unit's name). */
const NAMES = ['ttyspyd.socket', 'ttyspyd', 'connection'];

/** Thrown when there is no socket to listen on; the message says what to do. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
}

/** @throws SocketError unless systemd passed just the one socket that is ours */
export function takeSocket(passed: readonly ListenFd[]): number {
  const [socket, more] = passed;
  if (!socket || more) throw new SocketError(`systemd passed ${passed.length} descriptors, not one`);
  if (!NAMES.includes(socket.name)) {
    throw new SocketError(
      `systemd passed a descriptor named ${socket.name}; its socket unit must name it ttyspyd`,
    );
  }
  if (!native.isListening(socket.fd)) {
    throw new SocketError(
      'systemd passed what is not a listening Unix stream socket; use ListenStream=/PATH',
    );
  }
  native.setNonBlocking(socket.fd, 1);
  return socket.fd;
}

/**
 * Makes the socket. What an earlier ttyspyd left is replaced, if it is a socket and nobody answers on it.
 * @throws SocketError
 */
export function makeSocket(path: string): number {
  removeStale(path);
  try {
    return native.listen(path, MODE, BACKLOG);
  } catch (error) {
    throw new SocketError(`cannot listen on ${path}: ${errorCode(error)}`, { cause: error });
  }
}

function removeStale(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isSocket()) throw new SocketError(`${path} is there and is not a socket; move it away`);
  try {
    native.close(native.connect(path, 1_000));
  } catch (error) {
    if (errorCode(error) !== 'ECONNREFUSED') {
      throw new SocketError(`cannot tell whether somebody listens on ${path}: ${errorCode(error)}`, {
        cause: error,
      });
    }
    unlinkSync(path);
    return;
  }
  throw new SocketError(`somebody listens on ${path} already; stop the other ttyspyd first`);
}

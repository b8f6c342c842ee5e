/** A connection from its first byte to its hello. */
import type { Descriptor } from '../os/descriptor.ts';
import { errorCode, native } from '../os/native.ts';
import {
  type Answer,
  decodeHello,
  encodeAnswer,
  type Hello,
  HelloError,
  type LegacyHello,
} from '../session/hello.ts';
import { HELLO_TIMEOUT_MS, MAX_HELLO } from '../session/limits.ts';

/** Descriptors a message may bring at most: a command's six. */
const MAX_FDS = 6;

/** A hello as it came in. */
export interface Greeted {
  readonly hello: Hello | LegacyHello;
  /** What came with it, the receiver's to close. */
  readonly fds: readonly number[];
}

/**
 * Waits for the hello on a connection, at most five seconds.
 * @param done called once: with a hello; or with a HelloError; or with null when the client went without a word.
 *   The connection stays open and is the caller's.
 */
export function greet(connection: Descriptor, done: (result: Greeted | HelloError | null) => void): void {
  const kept: Buffer[] = [];
  const fds: number[] = [];
  const timer = setTimeout(
    () => settle(new HelloError(`no hello in ${HELLO_TIMEOUT_MS / 1000} s`)),
    HELLO_TIMEOUT_MS,
  );

  const settle = (result: Greeted | HelloError | null): void => {
    clearTimeout(timer);
    connection.wantRead(false);
    connection.listen({ readable: () => {}, writable: () => {} });
    if (result === null || result instanceof HelloError) for (const fd of fds) native.closeForeign(fd);
    done(result);
  };

  const readable = (): void => {
    try {
      const bytes = receive(connection, kept, fds);
      if (bytes === null) {
        settle(kept.length === 0 ? null : new HelloError('hung up within the hello'));
        return;
      }
      const hello = decodeHello(bytes);
      if (hello) settle({ hello, fds });
    } catch (error) {
      settle(
        error instanceof HelloError ? error : new HelloError(`${errorCode(error)} while the hello came`),
      );
    }
  };
  connection.listen({ readable, writable: () => {} });
  connection.wantRead(true);
}

const buffer = Buffer.allocUnsafeSlow(MAX_HELLO + 64);

/** @returns all bytes so far; null at the end */
function receive(connection: Descriptor, kept: Buffer[], fds: number[]): Buffer | null {
  // Together never more than fits: what follows the original's hello becomes one event.
  const room = buffer.length - (kept[0]?.length ?? 0);
  const message = native.receiveMessage(connection.fd, buffer, 0, room, MAX_FDS);
  if (message.length > 0 && kept.length > 0 && message.fds.length > 0) {
    for (const fd of message.fds) native.closeForeign(fd);
    throw new HelloError('descriptors that do not come with the first byte');
  }
  fds.push(...message.fds);
  if (message.length === 0) return null;
  if (message.length > 0) kept.push(Buffer.from(buffer.subarray(0, message.length)));
  const bytes = kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept);
  if (kept.length > 1) kept.splice(0, kept.length, bytes);
  return bytes;
}

/**
 * Says it in one go or not at all: a client that does not take a hundred bytes does not want them.
 * @returns false when the client is gone
 */
export function answer(connection: Descriptor, what: Answer): boolean {
  const bytes = encodeAnswer(what);
  try {
    return connection.write(bytes, 0, bytes.length) === bytes.length;
  } catch {
    return false;
  }
}

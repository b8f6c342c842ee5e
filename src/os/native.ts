/** The addon (src/native), typed. Nothing else loads it. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** As fstat(2) has them. */
export interface Description {
  readonly mode: number;
  readonly uid: number;
  readonly rdev: number;
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Process descriptor of the peer, the caller's to close; -1 where the kernel has no SO_PEERPIDFD (before 6.5). */
  readonly pidfd: number;
}

/** A descriptor watched by the event loop. */
export interface Poll {
  /** Waits for READABLE, WRITABLE or both; 0 for none. */
  start(events: number): void;
  /** No callback afterwards. The descriptor stays open: closing it, after this, is the caller's. */
  close(): void;
}

/**
 * System calls. Each throws an Error with `code` (such as EBUSY), `errno` and `syscall` when its call fails.
 * Paths and arguments are strings of bytes (latin1), since what users name need not be UTF-8. Details of each stand in
 * the C files.
 */
export interface Native {
  readonly READABLE: number;
  readonly WRITABLE: number;
  readonly Poll: new (fd: number, callback: (events: number) => void) => Poll;

  guard(on: number): void;
  read(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  write(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  pwrite(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): void;
  close(fd: number): void;
  /** Of a descriptor from somebody else; unlike fstat(2) it never waits for who serves the file. */
  describe(fd: number): Description;
  /** Closes a descriptor from somebody else, likewise. */
  closeForeign(fd: number): void;
  /** @returns whether it was before, 0 or 1 */
  setNonBlocking(fd: number, on: number): number;
  accessMode(fd: number): number;
  pipe(): [readEnd: number, writeEnd: number];
  socketPair(): [number, number];
  shutdownWrite(fd: number): void;

  connect(path: string, milliseconds: number): number;
  listen(path: string, mode: number, backlog: number): number;
  isListening(fd: number): boolean;
  isConnected(fd: number): boolean;
  accept(fd: number): number;
  peerCredentials(fd: number): PeerCredentials;
  sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[]): void;
  receiveMessage(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    most: number,
  ): { readonly length: number; readonly fds: number[] };

  openPty(): [master: number, slave: number];
  ptyNumber(master: number): number;
  /** Such as /dev/pts/3. */
  ttyName(fd: number): string;
  getTermios(fd: number): Buffer;
  setTermios(fd: number, settings: Buffer): void;
  makeRaw(fd: number): void;
  /** Rows times 65536 plus columns. */
  getWindowSize(fd: number): number;
  copyWindowSize(from: number, to: number): void;
  setExclusive(fd: number): void;
  unsetExclusive(fd: number): void;
  releaseControllingTerminal(fd: number): void;
  /** Id of the session that this terminal controls, where this process is in it; else -1. */
  controllingSession(fd: number): number;
  setControllingTerminal(fd: number): void;

  setDumpable(on: number): void;
  ignoreSignal(number: number, on: number): void;
  sessionId(): number;
  setsid(): void;
  exec(
    path: string,
    argv: readonly string[],
    changes: readonly string[],
    fds: readonly [number, number, number],
    ignored: bigint,
    blocked: bigint,
    nofile: number,
  ): never;
  pidfdOpen(pid: number): number;
  /** As wait(2) gives it, -1 before the process was reaped; throws where the kernel does not tell (before 6.15). */
  pidfdExitStatus(pidfd: number): number;
  userIds(): [ruid: number, euid: number, suid: number, rgid: number, egid: number, sgid: number];
}

export const native = createRequire(import.meta.url)('../native/build/Release/ttyspy.node') as Native;

/** Path of ttyspy-wait, the parent of a shell on a terminal (src/native/wait.c). */
export const WAITER = join(import.meta.dirname, '../native/build/Release/ttyspy-wait');

/** The `code` of a system error, such as EBUSY; undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

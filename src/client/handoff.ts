/**
 * The hand-off: the terminal, or a command's three streams, go to ttyspyd, and this process becomes the program.
 * Nothing of ttyspy stays that the user could walk around: beside a shell on a terminal only what waits for its end.
 */
import { fstatSync } from 'node:fs';
import type { Launch } from '../os/launch.ts';
import { native, WAITER } from '../os/native.ts';
import type { Claims } from '../session/metadata.ts';
import { introduce } from './connection.ts';
import type { Program } from './program.ts';

const SIGHUP = 1;

/** How the standard descriptors can be given away: as they are, or only by somebody who stays and copies. */
export type Handover = 'tty' | 'command' | 'by-hand';

export function howToHandOver(): Handover {
  if (isTty(0) && isTty(1)) return ownsTerminal() ? 'tty' : 'by-hand';
  return [0, 1, 2].every(isStream) ? 'command' : 'by-hand';
}

/**
 * Only the leader of a session can give its terminal up. A process that leads no process group can still leave for a
 * session of its own; the outer terminal then stays with the parent as well, which is recorded.
 */
function ownsTerminal(): boolean {
  if (native.sessionId() === process.pid) return true;
  try {
    native.setsid();
    return true;
  } catch {
    return false;
  }
}

function isTty(fd: number): boolean {
  try {
    native.ttyName(fd);
    return true;
  } catch {
    return false;
  }
}

/** Pipes and sockets; files and devices cannot be waited for without blocking whoever waits. */
function isStream(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}

/** What the hand-off gives the program: descriptors for 0, 1 and 2, and changes of its environment. */
interface Inner {
  readonly id: string;
  readonly fds: readonly [number, number, number];
  readonly changes: readonly string[];
}

/**
 * Hands over and becomes the program.
 * @throws NotRecordable while nothing was given away yet; a system error from exec afterwards
 */
export function handOff(
  socket: number,
  how: 'tty' | 'command',
  launch: Launch,
  program: Program,
  claims: Claims,
): never {
  const inner = how === 'tty' ? giveTerminal(socket, claims) : giveStreams(socket, claims);
  const changes = [`TTYSPY_SESSION=${inner.id}`, ...inner.changes];
  return become(how === 'tty' ? behindWaiter(program) : program, launch, inner.fds, changes);
}

/**
 * ttyspy-wait in place of the shell, which becomes its child: on a terminal, whoever waits for this process must not
 * see it end before ttyspyd has shown what the shell printed last (src/native/wait.c).
 */
function behindWaiter(program: Program): Program {
  return { path: WAITER, argv: ['ttyspy-wait', program.path, ...program.argv], shell: program.shell };
}

/** Becomes the program; descriptors and environment as given, all else as the launcher found it. */
export function become(
  program: Program,
  launch: Launch,
  fds: readonly [number, number, number],
  changes: readonly string[],
): never {
  const environment = [...launch.restore, `SHELL=${program.shell}`, ...changes];
  return native.exec(
    program.path,
    program.argv,
    environment,
    fds,
    launch.ignored,
    launch.blocked,
    launch.nofile,
  );
}

function giveTerminal(socket: number, claims: Claims): Inner {
  const shared = native.controllingSession(0) !== process.pid;
  const [master, slave] = native.openPty();
  native.setTermios(slave, native.getTermios(0));
  native.copyWindowSize(0, slave);
  const id = introduce(socket, { mode: 'tty', claims: { ...claims, ...(shared && { tty_shared: true }) } }, [
    0,
    master,
  ]);
  if (!shared) {
    // Giving the terminal up hangs it up for all of the session, this process included.
    native.ignoreSignal(SIGHUP, 1);
    native.releaseControllingTerminal(0);
  }
  const tty = native.ttyName(slave);
  // As ttyspy-wait wants them: the shell's terminal, and what ttyspyd hangs up when all is shown.
  return { id, fds: [slave, socket, slave], changes: [`SSH_TTY=${tty}`, `GPG_TTY=${tty}`] };
}

function giveStreams(socket: number, claims: Claims): Inner {
  const merged = same(1, 2);
  const [stdin, stdout] = same(0, 1) && fstatSync(0).isSocket() ? duplex() : [streamTo(0), streamFrom(1)];
  const stderr = merged ? stdout : streamFrom(2);
  const fds = merged ? [0, 1, stdin.ours, stdout.ours] : [0, 1, 2, stdin.ours, stdout.ours, stderr.ours];
  const id = introduce(socket, { mode: 'command', claims }, fds);
  return { id, fds: [stdin.theirs, stdout.theirs, stderr.theirs], changes: [] };
}

interface Pair {
  /** ttyspyd's end. */
  readonly ours: number;
  /** The program's end. */
  readonly theirs: number;
}

/** The program must find the kind of thing it had: /dev/stdout can be opened anew on a pipe, not on a socket. */
function streamTo(outer: number): Pair {
  if (fstatSync(outer).isSocket()) return duplex()[0];
  const [theirs, ours] = native.pipe();
  return { ours, theirs };
}

function streamFrom(outer: number): Pair {
  if (fstatSync(outer).isSocket()) return duplex()[0];
  const [ours, theirs] = native.pipe();
  return { ours, theirs };
}

/** One socket for both directions, as sshd makes where it does not use pipes. */
function duplex(): [Pair, Pair] {
  const [ours, theirs] = native.socketPair();
  const pair = { ours, theirs };
  return [pair, pair];
}

/** Whether two descriptors are of one pipe or socket. */
function same(a: number, b: number): boolean {
  const [one, other] = [fstatSync(a), fstatSync(b)];
  return one.ino === other.ino && one.dev === other.dev;
}

/** ttyspyd's socket: takes connections, hears who they are, begins their sessions. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { TtyspyConf } from '../config/ttyspy_conf.ts';
import { Descriptor } from '../os/descriptor.ts';
import type { Log } from '../os/log.ts';
import { errorCode, native, type PeerCredentials, type Poll } from '../os/native.ts';
import { HELLO_FDS, type Hello, HelloError, type LegacyHello, type RefusalCode } from '../session/hello.ts';
import { type SessionStart, sessionId } from '../session/metadata.ts';
import { Admission } from './admission.ts';
import { CommandSession } from './command_session.ts';
import { checkStreams, checkTerminal, DescriptorError } from './descriptors.ts';
import { answer, type Greeted, greet } from './greeting.ts';
import { type Identity, identify, terminalName } from './identity.ts';
import { LegacySession } from './legacy_session.ts';
import type { Session } from './session.ts';
import type { Recording, Spool } from './spool.ts';
import { TtySession } from './tty_session.ts';

/** Connections taken in one turn of the loop: those who are in must not wait for those who come. */
const ACCEPT_AT_ONCE = 16;
/** Pause after running out of descriptors. */
const ACCEPT_PAUSE_MS = 100;
/** How often the sizes of windows are looked at. */
const TICK_MS = 500;

/** Why a session is not begun; the message is for its user. */
class Refusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Someone at the socket, not yet in. */
interface Visitor {
  readonly connection: Descriptor;
  readonly peer: PeerCredentials;
}

export class Server {
  readonly #conf: TtyspyConf;
  readonly #log: Log;
  readonly #spool: Spool;
  readonly #listener: number;
  readonly #poll: Poll;
  readonly #admission: Admission;
  readonly #hostname: string;
  readonly #sessions = new Set<Session>();
  #ticker: NodeJS.Timeout | null = null;
  #pause: NodeJS.Timeout | undefined;
  /** Nobody came or went since the last tick. */
  #quiet = false;

  /** @param listener a listening Unix socket, non-blocking */
  constructor(conf: TtyspyConf, log: Log, spool: Spool, listener: number) {
    this.#conf = conf;
    this.#log = log;
    this.#spool = spool;
    this.#listener = listener;
    this.#admission = new Admission(conf.max_sessions, conf.max_sessions_per_user);
    this.#hostname = conf.hostname ?? hostname();
    this.#poll = new native.Poll(listener, () => this.#accept());
    this.#poll.start(native.READABLE);
  }

  get sessions(): number {
    return this.#admission.sessions;
  }

  /** Takes nobody in any more and ends every session. */
  close(): void {
    clearTimeout(this.#pause);
    this.#poll.close();
    for (const session of this.#sessions) session.finish('daemon-gone');
  }

  #accept(): void {
    for (let i = 0; i < ACCEPT_AT_ONCE; i++) {
      let fd: number;
      try {
        fd = native.accept(this.#listener);
      } catch (error) {
        this.#log.error({ code: errorCode(error) }, 'cannot take connections for a moment');
        this.#poll.start(0);
        this.#pause = setTimeout(() => this.#poll.start(native.READABLE), ACCEPT_PAUSE_MS);
        return;
      }
      if (fd < 0) return;
      try {
        this.#receive(new Descriptor(fd));
      } catch (error) {
        this.#log.error({ error: String(error) }, 'a connection cannot be served');
        closeQuietly(fd);
      }
    }
  }

  #receive(connection: Descriptor): void {
    const peer = native.peerCredentials(connection.fd);
    const visitor = { connection, peer };
    if (!this.#admission.greet(peer.uid)) {
      this.#dismiss(visitor, new Refusal('user-limit', 'too many of your connections say nothing'));
      return;
    }
    greet(connection, result => {
      this.#admission.greeted(peer.uid);
      if (result === null) this.#leave(visitor);
      else if (result instanceof HelloError) this.#dismiss(visitor, new Refusal('malformed', result.message));
      else this.#admit(visitor, result);
    });
  }

  #admit(visitor: Visitor, greeted: Greeted): void {
    const { uid } = visitor.peer;
    let counted = false;
    try {
      const identity = this.#identify(visitor.peer);
      this.#checkFds(greeted, visitor.peer);
      const refused = this.#admission.begin(uid);
      if (refused) throw new Refusal(refused.code, refused.message);
      counted = true;
      this.#begin(visitor, greeted, identity);
    } catch (error) {
      if (counted) this.#admission.end(uid);
      for (const fd of greeted.fds) closeQuietly(fd, native.closeForeign);
      this.#dismiss(visitor, asRefusal(error));
    }
  }

  #identify(peer: PeerCredentials): Identity {
    const identity = identify(peer);
    if (!identity) throw new Refusal('identity', `uid ${peer.uid} has no usable name in the passwd database`);
    return identity;
  }

  #checkFds({ hello, fds }: Greeted, peer: PeerCredentials): void {
    const expected = hello.mode === 'legacy' ? [0] : HELLO_FDS[hello.mode];
    if (!expected.includes(fds.length)) {
      throw new Refusal(
        'descriptor',
        `${fds.length} descriptors came with the hello, not ${expected.join(' or ')}`,
      );
    }
    if (hello.mode === 'tty') checkTerminal(fds[0] as number, fds[1] as number, peer);
    if (hello.mode === 'command') checkStreams(fds);
  }

  #begin(visitor: Visitor, { hello, fds }: Greeted, identity: Identity): void {
    const start = this.#describe(hello, fds, identity);
    let recording: Recording;
    try {
      if (this.#spool.full) throw new Error('spool_limit is reached');
      recording = this.#spool.create(start);
    } catch (error) {
      this.#log.error({ error: String(error), path: this.#spool.path }, 'the spool takes no session');
      throw new Refusal('spool', 'there is no room to record it; try again later');
    }
    let session: Session;
    const surroundings = {
      recording,
      log: this.#log,
      pidfd: visitor.peer.pidfd,
      ended: () => this.#forget(session, visitor.peer.uid),
    };
    try {
      session = this.#create(visitor, hello, fds, surroundings);
    } catch (error) {
      recording.end({ reason: 'error', status: null, signal: null, streams: {}, detail: 'never began' });
      throw error;
    }
    this.#sessions.add(session);
    try {
      this.#start(session, visitor, start);
    } catch (error) {
      // What came with the hello is the session's to close by now, and its end is counted as any other's.
      session.finish('error', String(error));
      if (hello.mode === 'command') visitor.connection.close();
    }
  }

  #start(session: Session, visitor: Visitor, start: SessionStart): void {
    this.#watch();
    const { id, username, mode } = start;
    const { ssh_client, tty_shared } = start.claims;
    const { pid, tty } = start.kernel ?? {};
    this.#log.info(
      { session: id, username, uid: visitor.peer.uid, pid, mode, tty, ssh_client, tty_shared },
      'session started',
    );
    // Where on_failure is open, a client that waited too long has gone on by itself: what it sent is still in its use.
    if (mode !== 'legacy' && !answer(visitor.connection, { ok: true, id })) {
      throw new Error('the client did not wait for the answer');
    }
    if (mode === 'command') visitor.connection.close();
    session.start();
  }

  #create(
    { connection }: Visitor,
    hello: Hello | LegacyHello,
    fds: readonly number[],
    surroundings: ConstructorParameters<typeof TtySession>[0],
  ): Session {
    switch (hello.mode) {
      case 'tty':
        return new TtySession(surroundings, fds[0] as number, fds[1] as number, connection);
      case 'command':
        return new CommandSession(surroundings, checkStreams(fds), this.#conf.command_capture);
      case 'legacy':
        return new LegacySession(surroundings, connection, hello.rest);
    }
  }

  #describe(hello: Hello | LegacyHello, fds: readonly number[], identity: Identity): SessionStart {
    const size = hello.mode === 'tty' ? native.getWindowSize(fds[0] as number) : null;
    return {
      version: 1,
      id: sessionId(randomBytes(10)),
      hostname: this.#hostname,
      username: identity.username,
      gecos: identity.gecos,
      started: new Date().toISOString(),
      mode: hello.mode,
      rows: size === null ? null : size >>> 16,
      columns: size === null ? null : size & 0xffff,
      kernel: { ...identity.facts, tty: hello.mode === 'tty' ? terminalName(fds[0] as number) : null },
      claims: hello.claims,
    };
  }

  #forget(session: Session, uid: number): void {
    this.#sessions.delete(session);
    this.#admission.end(uid);
  }

  /** What costs something while there are sessions, or somebody at the door, rests when there is nobody. */
  #watch(): void {
    this.#quiet = false;
    if (this.#ticker) return;
    native.guard(1);
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    for (const session of this.#sessions) session.tick();
    if (this.#quiet && this.#sessions.size === 0 && this.#ticker) {
      native.guard(0);
      clearInterval(this.#ticker);
      this.#ticker = null;
    }
    this.#quiet = true;
  }

  #dismiss(visitor: Visitor, refusal: Refusal): void {
    const { uid, pid } = visitor.peer;
    this.#log.warn({ uid, pid, code: refusal.code, reason: refusal.message }, 'session refused');
    answer(visitor.connection, { ok: false, code: refusal.code, message: refusal.message });
    this.#leave(visitor);
  }

  #leave({ connection, peer }: Visitor): void {
    // Closing may have to be interrupted: what was sent and never received goes with it (src/native/descriptor.c).
    this.#watch();
    connection.close();
    if (peer.pidfd >= 0) closeQuietly(peer.pidfd);
  }
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof DescriptorError) return new Refusal('descriptor', error.message);
  // The descriptors are the client's: whatever the kernel has against them is the client's to mend.
  return new Refusal('descriptor', `the descriptors cannot be used: ${errorCode(error) ?? String(error)}`);
}

function closeQuietly(fd: number, close = native.close): void {
  try {
    close(fd);
  } catch {
    // A session that failed half-way has closed it.
  }
}

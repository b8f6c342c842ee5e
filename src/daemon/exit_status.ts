/** How a shell ended, from its process descriptor: nobody here is its parent. */
import { errorCode, native, type Poll } from '../os/native.ts';

export interface ExitStatus {
  readonly status: number | null;
  readonly signal: number | null;
}

const UNKNOWN: ExitStatus = { status: null, signal: null };

/** How long after the end of its terminal a shell may take to end itself, before its status counts as unknown. */
const PATIENCE_MS = 2_000;

/** The leader of a session, watched by pidfd. */
export class Leader {
  readonly #pidfd: number;
  #poll: Poll | null = null;
  #exited = false;

  /** @param pidfd owned from now on; -1 when there is none */
  constructor(pidfd: number) {
    this.#pidfd = pidfd;
  }

  /** Calls back when it has ended. Never without a pidfd. */
  whenExited(callback: () => void): void {
    if (this.#pidfd < 0) return;
    this.#poll = new native.Poll(this.#pidfd, () => {
      this.#poll?.close();
      this.#poll = null;
      this.#exited = true;
      callback();
    });
    this.#poll.start(native.READABLE);
  }

  get exited(): boolean {
    return this.#exited;
  }

  /** Whether its end will be told. */
  get watched(): boolean {
    return this.#pidfd >= 0;
  }

  /**
   * Waits for it a while, closes the pidfd, and calls back with what the kernel tells (Linux 6.15 and later). The
   * status is there once the parent has reaped it, which sshd does at once.
   */
  finish(callback: (exit: ExitStatus) => void): void {
    this.#poll?.close();
    this.#poll = null;
    if (this.#pidfd < 0) {
      callback(UNKNOWN);
      return;
    }
    const ask = (pause: number, waited: number) => {
      const exit = this.#ask();
      if (exit === null && waited < PATIENCE_MS) {
        setTimeout(ask, pause, Math.min(2 * pause, 200), waited + pause);
        return;
      }
      native.close(this.#pidfd);
      callback(exit ?? UNKNOWN);
    };
    ask(1, 0);
  }

  #ask(): ExitStatus | null {
    let wait: number;
    try {
      wait = native.pidfdExitStatus(this.#pidfd);
    } catch (error) {
      // ESRCH: just being reaped, and the status not there yet. Others: a kernel that does not tell.
      return errorCode(error) === 'ESRCH' ? null : UNKNOWN;
    }
    if (wait < 0) return null;
    const signal = wait & 0x7f;
    return signal ? { status: null, signal } : { status: (wait >> 8) & 0xff, signal: null };
  }
}

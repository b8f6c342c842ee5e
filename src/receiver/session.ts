/** A session as the receiver remembers it. All of this can be forgotten: the files say it again. */
import type { Body } from './body.ts';
import { Refusal } from './refusal.ts';
import type { SessionFiles } from './session_files.ts';

export class Session {
  readonly id: string;
  readonly hostname: string;
  readonly username: string;
  readonly files: SessionFiles;
  /** Offset of the end when the session is complete, else null. */
  sealed: number | null;
  /** When a request last used it, milliseconds of the monotonic clock. */
  used = 0;
  /** The memory of it cannot be trusted after an error of the disk. */
  broken = false;
  #turn: Promise<unknown> | null = null;
  #waiting = 0;
  #body: Body | null = null;

  constructor(
    names: { id: string; hostname: string; username: string },
    files: SessionFiles,
    sealed: number | null,
  ) {
    this.id = names.id;
    this.hostname = names.hostname;
    this.username = names.username;
    this.files = files;
    this.sealed = sealed;
  }

  /** Bytes of the event stream that are durable. */
  get offset(): number {
    return this.sealed ?? this.files.committed.offset;
  }

  get busy(): boolean {
    return this.#waiting > 0;
  }

  /**
   * Does one thing after another with the files. A body that is given ends the one before it: its client came back on
   * a new connection before the old one was known to be dead.
   */
  async exclusive<T>(work: () => Promise<T>, body: Body | null = null): Promise<T> {
    if (body) {
      this.#body?.stop(new Refusal('superseded', 'a newer append to this session came'));
      this.#body = body;
    }
    this.#waiting++;
    const turn = Promise.resolve(this.#turn).then(work);
    this.#turn = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      if (--this.#waiting === 0) this.#turn = null;
      if (this.#body === body) this.#body = null;
    }
  }

  /** Ends the append that runs. */
  interrupt(reason: Error): void {
    this.#body?.stop(reason);
  }
}

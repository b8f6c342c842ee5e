/** What sessions of every kind have in common: the record, its end, and the word to whoever counts them. */
import type { Log } from '../os/log.ts';
import type { Kind } from '../session/event.ts';
import type { EndReason, SessionEnd, StreamTotal } from '../session/metadata.ts';
import { type ExitStatus, Leader } from './exit_status.ts';
import type { PumpEvents } from './pump.ts';
import type { Recording } from './spool.ts';

/** Handed to a session when it begins; it owns what is in here. */
export interface Surroundings {
  readonly recording: Recording;
  readonly log: Log;
  /** Of the process that becomes the shell; -1 when unknown. */
  readonly pidfd: number;
  /** The session is over and holds nothing any more. */
  readonly ended: () => void;
}

export abstract class Session {
  protected readonly recording: Recording;
  protected readonly leader: Leader;
  readonly #log: Log;
  readonly #ended: () => void;
  readonly #began = Date.now();
  #finishing = false;

  constructor(surroundings: Surroundings) {
    this.recording = surroundings.recording;
    this.leader = new Leader(surroundings.pidfd);
    this.#log = surroundings.log;
    this.#ended = surroundings.ended;
    this.recording.whenLost(error => this.finish('error', `the spool's disk: ${error.code}`));
  }

  /** Begins to relay. */
  abstract start(): void;
  /** Looks at what nothing tells of itself, such as the window's size. Called twice a second. */
  abstract tick(): void;
  /** Lets go of all descriptors. */
  protected abstract close(): void;
  protected abstract totals(): Record<string, StreamTotal>;

  /** Ends the session, whatever state it is in. Only the first call counts. */
  finish(reason: EndReason, detail?: string): void {
    if (this.#finishing) return;
    this.#finishing = true;
    const streams = this.totals();
    this.close();
    this.leader.finish(exit =>
      this.#seal({ reason, ...exit, streams, ...(detail !== undefined && { detail }) }),
    );
  }

  /** What all pumps of a session share. */
  protected pumpEvents(own: Pick<PumpEvents, 'record' | 'ended' | 'broken'>): PumpEvents {
    const { recording } = this;
    const sync = (done: () => void) =>
      recording.sync(error => {
        // What is not on the disk must not be shown.
        if (error) this.finish('error', `the record cannot be brought to the disk: ${error.code}`);
        else done();
      });
    return {
      ...own,
      sync: recording.spool.syncsAlways ? sync : null,
      whenRoom: retry => recording.spool.whenRoom(retry),
    };
  }

  /** A small event that must not get lost when the spool is full for a moment. */
  protected note(kind: Kind, bytes: Uint8Array): void {
    if (!this.recording.note(kind, bytes)) this.recording.spool.whenRoom(() => this.note(kind, bytes));
  }

  #seal(end: SessionEnd & ExitStatus): void {
    if (!this.recording.end(end)) {
      this.recording.spool.whenRoom(() => this.#seal(end));
      return;
    }
    const seconds = (Date.now() - this.#began) / 1000;
    const { reason, status, signal, streams, detail } = end;
    const bytes = Object.fromEntries(Object.entries(streams).map(([name, total]) => [name, total.bytes]));
    this.#log.info(
      { session: this.recording.id, reason, status, signal, bytes, seconds, detail },
      'session ended',
    );
    this.#ended();
  }
}

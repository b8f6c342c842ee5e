/** The spool: where every session is kept until the archive has it. */
import {
  closeSync,
  constants,
  fdatasync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TtyspyConf } from '../config/ttyspy_conf.ts';
import { errorCode, native } from '../os/native.ts';
import { EVENT_HEADER, encodeEvent, Kind, writeEventHeader } from '../session/event.ts';
import { MAX_EVENT_PAYLOAD } from '../session/limits.ts';
import type { SessionEnd, SessionStart } from '../session/metadata.ts';
import { parseSpoolName, spoolName } from '../session/spool.ts';
import { monotonic } from './clock.ts';

/** How often it is looked whether there is room again, while somebody waits for it. */
const LOOK_MS = 1_000;
/** How often otherwise: only the directory tells what the archive has, and reading it takes time from sessions. */
const SURVEY_MS = 30_000;

/**
 * The one buffer that all sessions read into: nothing stays in it after the turn of the loop that filled it. An
 * event's payload stands at EVENT_HEADER, so that header and payload are one write.
 */
export const scratch: Buffer = Buffer.allocUnsafeSlow(EVENT_HEADER + MAX_EVENT_PAYLOAD);

export class Spool {
  readonly path: string;
  readonly #limit: number;
  readonly #sync: number | 'always';
  /** Recordings written to since the last group commit. */
  readonly #dirty = new Set<Recording>();
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | null = null;
  #looking: NodeJS.Timeout | null = null;
  #bytes = 0;
  /** When the directory was read last, monotonic microseconds. */
  #looked = 0;

  constructor(conf: Pick<TtyspyConf, 'spool_path' | 'spool_limit' | 'spool_sync'>) {
    this.path = conf.spool_path;
    this.#limit = conf.spool_limit;
    this.#sync = conf.spool_sync;
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    this.#bytes = this.#survey();
    this.#looked = monotonic();
  }

  /** Bytes of sessions that the archive does not have, as far as known. */
  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#bytes >= this.#limit;
  }

  /**
   * Begins a session's file with its metadata.
   * @throws a system error
   */
  create(start: SessionStart): Recording {
    const path = join(this.path, spoolName(start.id, 'live'));
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    const line = Buffer.from(`${JSON.stringify(start)}\n`);
    try {
      native.pwrite(fd, line, 0, line.length, 0);
    } catch (error) {
      closeSync(fd);
      unlinkSync(path);
      throw error;
    }
    return new Recording(this, fd, start.id, line.length);
  }

  /** Calls back once, when there may be room again. */
  whenRoom(retry: () => void): void {
    this.#waiting.add(retry);
    this.#looking ??= setInterval(() => this.#look(), LOOK_MS);
  }

  /** @internal of Recording */
  wrote(recording: Recording, bytes: number): void {
    this.#bytes += bytes;
    if (this.#sync === 'always') return;
    this.#dirty.add(recording);
    this.#timer ??= setTimeout(() => this.#commit(), this.#sync);
  }

  /** Whether every event must be on the disk before it is shown. */
  get syncsAlways(): boolean {
    return this.#sync === 'always';
  }

  /** Group commit: one fdatasync for each file that grew. */
  #commit(): void {
    this.#timer = null;
    for (const recording of this.#dirty) recording.commit();
    this.#dirty.clear();
    if (this.full || monotonic() - this.#looked > SURVEY_MS * 1000) this.#look();
  }

  /** What the uplink removed shows only in the directory. @throws a system error */
  #survey(): number {
    let bytes = 0;
    for (const name of readdirSync(this.path)) {
      bytes += parseSpoolName(name)
        ? (statSync(join(this.path, name), { throwIfNoEntry: false })?.size ?? 0)
        : 0;
    }
    return bytes;
  }

  #look(): void {
    this.#looked = monotonic();
    try {
      this.#bytes = this.#survey();
    } catch {
      return; // No descriptor to read the directory with: what was known still goes, until the next look.
    }
    if (this.full) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    if (this.#looking) clearInterval(this.#looking);
    this.#looking = null;
    for (const retry of waiting) retry();
  }
}

/** One session's file. */
export class Recording {
  readonly id: string;
  readonly #spool: Spool;
  readonly #fd: number;
  readonly #began = monotonic();
  #size: number;
  #time = 0;
  /** The exit event is in it. */
  #ended = false;
  #closed = false;
  #lost: (error: NodeJS.ErrnoException) => void = () => {};

  constructor(spool: Spool, fd: number, id: string, size: number) {
    this.#spool = spool;
    this.#fd = fd;
    this.#size = size;
    this.id = id;
  }

  get spool(): Spool {
    return this.#spool;
  }

  /**
   * Appends the event whose payload of `length` bytes stands in {@link scratch}.
   * @returns false when there is no room: nothing was recorded, and nothing may be shown
   */
  append(kind: Kind, length: number): boolean {
    writeEventHeader(scratch, 0, kind, this.#now(), length);
    return this.#write(scratch, EVENT_HEADER + length);
  }

  /** Appends a small event of its own. As append. */
  note(kind: Kind, bytes: Uint8Array): boolean {
    const event = encodeEvent({ time: this.#now(), kind, bytes });
    return this.#write(event, event.length);
  }

  /**
   * Appends the exit event and gives the file its final name.
   * @returns false when there is no room, be it in the directory: call again
   */
  end(end: SessionEnd): boolean {
    if (!this.#ended && !this.note(Kind.exit, Buffer.from(JSON.stringify(end)))) return false;
    this.#ended = true;
    try {
      renameSync(
        join(this.#spool.path, spoolName(this.id, 'live')),
        join(this.#spool.path, spoolName(this.id, 'done')),
      );
    } catch (error) {
      // Removed by somebody: there is nothing left to be named.
      if (errorCode(error) !== 'ENOENT') return false;
    }
    this.sync(() => native.close(this.#fd));
    this.#closed = true;
    return true;
  }

  /** Calls back when a group commit failed: what was recorded, and shown, may not be on the disk. */
  whenLost(callback: (error: NodeJS.ErrnoException) => void): void {
    this.#lost = callback;
  }

  /** @internal of Spool: its part of a group commit. */
  commit(): void {
    this.sync(error => {
      if (error) this.#lost(error);
    });
  }

  /** Brings what was appended to the disk. */
  sync(done: (error: NodeJS.ErrnoException | null) => void = () => {}): void {
    if (!this.#closed) fdatasync(this.#fd, done);
  }

  /** Microseconds since the start; never less than before. */
  #now(): number {
    this.#time = Math.max(this.#time, monotonic() - this.#began);
    return this.#time;
  }

  /**
   * Always at the end of the last whole event, so that what a full disk cut off is overwritten. Nothing follows the
   * exit event: what waited for room until now came too late, and the descriptor may be another's.
   */
  #write(buffer: Buffer, length: number): boolean {
    if (this.#ended) return true;
    if (this.#spool.full) return false;
    try {
      native.pwrite(this.#fd, buffer, 0, length, this.#size);
    } catch {
      return false;
    }
    this.#size += length;
    this.#spool.wrote(this, length);
    return true;
  }
}

/** One direction of a session: read, record, and only then pass on. */
import type { Descriptor } from '../os/descriptor.ts';
import { EVENT_HEADER } from '../session/event.ts';
import { MAX_EVENT_PAYLOAD } from '../session/limits.ts';
import { scratch } from './spool.ts';

/** What a session does with the bytes of one direction. */
export interface PumpEvents {
  /** Records `length` bytes that stand in scratch at EVENT_HEADER. @returns false: not now, ask again by whenRoom */
  record(length: number): boolean;
  /** Calls back when recording may work again. */
  whenRoom(retry: () => void): void;
  /** With spool_sync always: calls back when what was recorded is on the disk. Null: pass on at once. */
  readonly sync: ((done: () => void) => void) | null;
  /** Everything that came has been passed on, and nothing more comes. */
  ended(): void;
  /** The other side takes no more; what was left is recorded but was not shown. */
  broken(): void;
}

/**
 * While something is held back nothing is read, so that a session holds at most one buffer's worth, and whoever sends
 * waits as it would without us.
 */
export class Pump {
  readonly from: Descriptor;
  readonly to: Descriptor;
  readonly #events: PumpEvents;
  /** Read but neither recorded nor passed on. */
  #unrecorded: Buffer | null = null;
  /** Recorded but not passed on. */
  #held: Buffer | null = null;
  /** Recorded but not on the disk yet, which it must be before it is passed on. */
  #syncing = false;
  #over = false;

  constructor(from: Descriptor, to: Descriptor, events: PumpEvents) {
    this.from = from;
    this.to = to;
    this.#events = events;
  }

  get over(): boolean {
    return this.#over;
  }

  start(): void {
    this.from.wantRead(true);
  }

  /** No more reading, no more events. The descriptors stay open. */
  stop(): void {
    this.#over = true;
    if (!this.from.closed) this.from.wantRead(false);
    if (!this.to.closed) this.to.wantWrite(false);
  }

  /** Something was read that must go on before more is read. */
  get #holding(): boolean {
    return this.#unrecorded !== null || this.#syncing || this.#held !== null;
  }

  readable(): void {
    if (this.#over || this.#holding) return;
    let length: number;
    try {
      length = this.from.read(scratch, EVENT_HEADER, MAX_EVENT_PAYLOAD);
    } catch {
      length = 0; // EIO: a terminal hung up. ECONNRESET and the like: as good as an end.
    }
    if (length < 0) return;
    if (length === 0) {
      this.#end();
      return;
    }
    this.#take(length);
  }

  writable(): void {
    if (this.#over || !this.#held) return;
    const held = this.#held;
    const written = this.#tryWrite(held, 0, held.length);
    if (written < 0 || written < held.length) {
      if (written > 0) this.#held = held.subarray(written);
      return;
    }
    this.#held = null;
    this.to.wantWrite(false);
    this.#next();
  }

  /** Records and passes on what stands in scratch. */
  #take(length: number): void {
    if (!this.#events.record(length)) {
      this.#unrecorded = Buffer.from(scratch.subarray(EVENT_HEADER, EVENT_HEADER + length));
      this.from.wantRead(false);
      this.#events.whenRoom(() => this.#retry());
      return;
    }
    if (this.#events.sync) {
      const held = Buffer.from(scratch.subarray(EVENT_HEADER, EVENT_HEADER + length));
      this.from.wantRead(false);
      this.#syncing = true;
      this.#events.sync(() => {
        this.#syncing = false;
        if (this.#over) return;
        this.#held = held;
        this.writable();
        if (this.#held) this.to.wantWrite(true);
      });
      return;
    }
    const written = this.#tryWrite(scratch, EVENT_HEADER, length);
    if (written < 0 || written === length) return;
    this.#held = Buffer.from(scratch.subarray(EVENT_HEADER + written, EVENT_HEADER + length));
    this.from.wantRead(false);
    this.to.wantWrite(true);
  }

  #retry(): void {
    const bytes = this.#unrecorded;
    if (!bytes || this.#over) return;
    this.#unrecorded = null;
    bytes.copy(scratch, EVENT_HEADER);
    this.#take(bytes.length);
    if (!this.#holding) this.#next();
  }

  #next(): void {
    if (!this.#over) this.from.wantRead(true);
  }

  /** @returns -1 when the other side is gone */
  #tryWrite(buffer: Buffer, offset: number, length: number): number {
    try {
      return this.to.write(buffer, offset, length);
    } catch {
      this.stop();
      this.#events.broken();
      return -1;
    }
  }

  #end(): void {
    this.stop();
    this.#events.ended();
  }
}

/**
 * The event: the unit of recording, in one encoding for spool and wire.
 *
 *     kind     u8
 *     length   u24   bytes of payload, at most 65536
 *     time     u64   microseconds since the session's start, monotonic
 *     payload  length bytes
 *
 * Integers are big-endian. The header's fixed size lets ttyspyd read terminal bytes straight behind it and
 * append both to the spool in one write.
 */
import { MAX_EVENT_PAYLOAD } from './limits.ts';

/** What an event says. The numbers are on disk and on the wire: never reuse one. */
export const Kind = {
  /** Terminal output, or a command's stdout. Payload: the bytes. */
  output: 1,
  /** Terminal input, or a command's stdin. Payload: the bytes. */
  input: 2,
  /** A command's stderr. Payload: the bytes. */
  stderr: 3,
  /** New window size. Payload: rows u16, columns u16. */
  resize: 4,
  /** Something that happened to the record itself. Payload: JSON, see {@link Marker}. */
  marker: 5,
  /** The end; nothing follows it. Payload: JSON, see SessionEnd in metadata.ts. */
  exit: 6,
} as const;

export type Kind = (typeof Kind)[keyof typeof Kind];

/** A note in the record, such as the end of capture of a stream. `type` names it; other members depend on it. */
export interface Marker {
  readonly type: string;
  readonly [member: string]: unknown;
}

export interface Event {
  /** Microseconds since the session's start. */
  readonly time: number;
  readonly kind: Kind;
  readonly bytes: Uint8Array;
}

/** Size of the header before each payload, bytes. */
export const EVENT_HEADER = 12;

/** Thrown for bytes that are no event stream. The offset counts from the first byte the decoder was given. */
export class EventError extends Error {
  override readonly name = 'EventError';
  readonly code = 'EVENT_INVALID';
  readonly offset: number;

  constructor(problem: string, offset: number) {
    super(`${problem} at byte ${offset} of the event stream`);
    this.offset = offset;
  }
}

/**
 * Writes the header of an event whose payload of `length` bytes stands (or will stand) at `at + EVENT_HEADER`.
 * @throws RangeError for a length or time that the format cannot hold: our own mistake, not a peer's
 */
export function writeEventHeader(into: Buffer, at: number, kind: Kind, time: number, length: number): void {
  if (!(length >= 0 && length <= MAX_EVENT_PAYLOAD)) throw new RangeError(`event payload of ${length} bytes`);
  if (!(time >= 0 && time <= Number.MAX_SAFE_INTEGER)) throw new RangeError(`event time ${time}`);
  into[at] = kind;
  into[at + 1] = length >>> 16;
  into[at + 2] = length >>> 8;
  into[at + 3] = length;
  into.writeUInt32BE(Math.floor(time / 0x1_0000_0000), at + 4);
  into.writeUInt32BE(time % 0x1_0000_0000, at + 8);
}

/** One event as it stands in spool and wire. */
export function encodeEvent(event: Event): Buffer {
  const out = Buffer.allocUnsafe(EVENT_HEADER + event.bytes.length);
  writeEventHeader(out, 0, event.kind, event.time, event.bytes.length);
  out.set(event.bytes, EVENT_HEADER);
  return out;
}

/** The payload of a resize event. */
export function encodeResize(rows: number, columns: number): Buffer {
  const out = Buffer.allocUnsafe(4);
  out.writeUInt16BE(rows, 0);
  out.writeUInt16BE(columns, 2);
  return out;
}

/** @throws EventError when the payload is not that of a resize */
export function decodeResize(bytes: Uint8Array): { rows: number; columns: number } {
  if (bytes.length !== 4) throw new EventError(`resize of ${bytes.length} bytes`, 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 4);
  return { rows: view.getUint16(0), columns: view.getUint16(2) };
}

const NO_EVENT = Buffer.alloc(0);

/** Time in the header at `at`. */
function timeAt(data: Buffer, at: number): number {
  return data.readUInt32BE(at + 4) * 0x1_0000_0000 + data.readUInt32BE(at + 8);
}

/**
 * Takes an event stream apart, in pieces of any size.
 *
 * Checks what the format promises: known kinds, payloads within bounds, times that do not run backwards, nothing
 * after exit. After an EventError it must not be fed again.
 */
export class EventDecoder {
  /** Bytes given so far that belong to complete events: where a torn stream may be cut off. */
  committed = 0;
  /** Whether the exit event was seen. */
  ended = false;
  /** The event that a piece ended in: room for its header, or once that is there, for all of it. */
  #cut: Buffer = NO_EVENT;
  #filled = 0;
  #time: number;

  /** @param time when decoding goes on in the middle of a stream: that of the last event before, microseconds */
  constructor(time = 0) {
    this.#time = time;
  }

  /** Time of the last complete event, microseconds. */
  get time(): number {
    return this.#time;
  }

  /** Bytes that wait for the rest of their event. */
  get pending(): number {
    return this.#filled;
  }

  /**
   * Yields each event that is complete. Payloads are views of `piece` (or of what was kept from before): use or copy
   * them before the piece's buffer is written again. The whole piece counts as taken even if iteration stops early
   * only when run to its end, so always exhaust it.
   * @throws EventError at the first byte that cannot be
   */
  *push(piece: Uint8Array): Generator<Event, void, undefined> {
    const data = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    for (let at = 0; at < data.length; ) {
      if (this.ended) throw new EventError('bytes after exit', this.committed);
      const size = this.#filled === 0 ? this.#sizeOf(data, at) : 0;
      if (size > 0 && at + size <= data.length) {
        yield this.#event(data, at, size);
        at += size;
        continue;
      }
      at += this.#keep(data, at);
      if (this.#filled < EVENT_HEADER || this.#filled < this.#cut.length) continue;
      const event = this.#event(this.#cut, 0, this.#filled);
      this.#cut = NO_EVENT;
      this.#filled = 0;
      yield event;
    }
  }

  /** Size of the event that begins there, 0 when its header is not all there. */
  #sizeOf(data: Buffer, at: number): number {
    if (data.length - at < EVENT_HEADER) return 0;
    const length = data.readUIntBE(at + 1, 3);
    this.#check(data[at] as number, length, timeAt(data, at));
    return EVENT_HEADER + length;
  }

  #event(data: Buffer, at: number, size: number): Event {
    const kind = data[at] as Kind;
    this.committed += size;
    this.#time = timeAt(data, at);
    this.ended = kind === Kind.exit;
    return { time: this.#time, kind, bytes: data.subarray(at + EVENT_HEADER, at + size) };
  }

  /** Copies what belongs to the cut event, because the caller may reuse its buffer. @returns bytes taken */
  #keep(data: Buffer, at: number): number {
    if (this.#filled === 0) this.#cut = Buffer.allocUnsafe(EVENT_HEADER);
    const taken = data.copy(this.#cut, this.#filled, at);
    this.#filled += taken;
    if (this.#filled === EVENT_HEADER) {
      const header = this.#cut;
      this.#cut = Buffer.allocUnsafe(this.#sizeOf(header, 0));
      header.copy(this.#cut);
    }
    return taken;
  }

  #check(kind: number, length: number, time: number): void {
    if (this.ended) throw new EventError('event after exit', this.committed);
    if (kind < Kind.output || kind > Kind.exit)
      throw new EventError(`unknown event kind ${kind}`, this.committed);
    if (length > MAX_EVENT_PAYLOAD) throw new EventError(`event payload of ${length} bytes`, this.committed);
    if (time < this.#time || time > Number.MAX_SAFE_INTEGER) {
      throw new EventError(`event time ${time} after ${this.#time}`, this.committed);
    }
  }
}

/** What events become in the archive: bytes for transcript and input, lines for timing. No I/O. */
import { decodeResize, type Event, EventError, Kind, type Marker } from '../session/event.ts';
import { type CommitPoint, INPUT_HEADER } from './commit_point.ts';
import { dataLine, markerLines, type OutputStream, resizeLine, streamLine } from './timing.ts';

/** More pieces than this are joined: gathering many tiny ones costs the kernel more than copying costs us. */
const MANY_PIECES = 256;

export class Batch {
  /** Time of the last event, microseconds since the start. */
  time: number;
  /** Lines for the timing file, ASCII. */
  timing = '';
  stream: OutputStream;
  #output: Uint8Array[] = [];
  #input: Uint8Array[] = [];
  #hasInput: boolean;

  /** @param at where the files end now */
  constructor(at: Pick<CommitPoint, 'time' | 'stream' | 'input'>) {
    this.time = at.time;
    this.stream = at.stream;
    this.#hasInput = at.input > 0;
  }

  /** Bytes for the end of the transcript. */
  get output(): readonly Uint8Array[] {
    return joined(this.#output);
  }

  /** Bytes for the end of the input file. */
  get input(): readonly Uint8Array[] {
    return joined(this.#input);
  }

  /**
   * Adds an event, any but exit. Its bytes are not copied.
   * @throws EventError for a payload that is not what its kind says; the event is not added then
   */
  add({ kind, time, bytes }: Event): void {
    if (kind === Kind.output) this.#addOutput('stdout', time, bytes);
    else if (kind === Kind.stderr) this.#addOutput('stderr', time, bytes);
    else if (kind === Kind.input) this.#addInput(time, bytes);
    else if (kind === Kind.resize) {
      const { rows, columns } = decodeResize(bytes);
      this.timing += resizeLine(this.#delay(time), rows, columns);
    } else if (kind === Kind.marker) {
      const marker = parseMarker(bytes);
      this.timing += markerLines(this.#delay(time), marker);
    }
  }

  #addOutput(stream: OutputStream, time: number, bytes: Uint8Array): void {
    if (stream !== this.stream) {
      this.stream = stream;
      this.timing += streamLine(stream);
    }
    this.#output.push(bytes);
    this.timing += dataLine('O', this.#delay(time), bytes.length);
  }

  #addInput(time: number, bytes: Uint8Array): void {
    if (!this.#hasInput) {
      this.#hasInput = true;
      this.#input.push(INPUT_HEADER);
    }
    this.#input.push(bytes);
    this.timing += dataLine('I', this.#delay(time), bytes.length);
  }

  #delay(time: number): number {
    const delay = time - this.time;
    this.time = time;
    return delay;
  }
}

function joined(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  return pieces.length > MANY_PIECES ? [Buffer.concat(pieces)] : pieces;
}

function parseMarker(bytes: Uint8Array): Marker {
  let marker: unknown;
  try {
    marker = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString());
  } catch {
    throw new EventError('marker is not JSON', 0);
  }
  if (typeof marker !== 'object' || marker === null || typeof (marker as Marker).type !== 'string') {
    throw new EventError('marker without a type', 0);
  }
  return marker as Marker;
}

/**
 * The commit point: where each file of a session ends when the events before an offset are in it. Written as a COMMIT
 * line into the timing file, found again by reading that file from its beginning. Pure.
 */
import type { OutputStream } from './timing.ts';

export interface CommitPoint {
  /** Bytes of the event stream that are in the files. */
  readonly offset: number;
  /** Time of the last event in them, microseconds since the start. */
  readonly time: number;
  /** Sizes of the files, bytes. Input is 0 when there is none. */
  readonly transcript: number;
  readonly timing: number;
  readonly input: number;
  /** What the output before it was of. */
  readonly stream: OutputStream;
}

/** The empty line at the beginning of an input file, which scriptreplay skips. */
export const INPUT_HEADER = Buffer.from('\n');

/** No line of ours is longer; more without a line feed is not ours. */
const LONGEST_LINE = 8_192;

const DATA = /^([OI]) (\d+)\.(\d{6}) (\d+)$/;
const NOTE = /^[SH] (\d+)\.(\d{6}) (\S+)(?: (.*))?$/;

/** Reads a timing file in pieces and finds the last commit point that transcript and input hold as well. */
export class CommitPointSearch {
  /** The last commit point that all files hold, null when there is none. */
  found: CommitPoint | null = null;
  /** A line is not ours: what follows does not count. */
  broken = false;
  readonly #sizes: { transcript: number; input: number };
  #at = { offset: 0, time: 0, transcript: 0, timing: 0, input: 0, stream: 'stdout' as OutputStream };
  #rest = '';

  /**
   * @param firstLine length of the transcript's first line, which no line of the timing file stands for, bytes
   * @param sizes what transcript and input hold, bytes
   */
  constructor(firstLine: number, sizes: { transcript: number; input: number }) {
    this.#at.transcript = firstLine;
    this.#sizes = sizes;
  }

  push(piece: Uint8Array): void {
    if (this.broken) return;
    const text = this.#rest + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1');
    let from = 0;
    for (let to = text.indexOf('\n'); to >= 0 && !this.broken; to = text.indexOf('\n', from)) {
      this.#at.timing += to + 1 - from;
      this.broken = !this.#line(text.slice(from, to));
      from = to + 1;
    }
    this.#rest = text.slice(from);
    if (this.#rest.length > LONGEST_LINE) this.broken = true;
  }

  /** @returns false when the line is not ours */
  #line(line: string): boolean {
    const data = DATA.exec(line);
    if (data) {
      this.#at.time += microseconds(data[2], data[3]);
      if (data[1] === 'O') this.#at.transcript += Number(data[4]);
      else this.#at.input = (this.#at.input || INPUT_HEADER.length) + Number(data[4]);
      return true;
    }
    const note = NOTE.exec(line);
    if (!note) return false;
    this.#at.time += microseconds(note[1], note[2]);
    if (line.startsWith('S')) return true;
    if (note[3] === 'STREAM') this.#at.stream = note[4] === 'stderr' ? 'stderr' : 'stdout';
    if (note[3] === 'COMMIT') return this.#commit(note[4] ?? '');
    return true;
  }

  #commit(offset: string): boolean {
    if (!/^\d{1,16}$/.test(offset)) return false;
    this.#at.offset = Number(offset);
    const held = this.#at.transcript <= this.#sizes.transcript && this.#at.input <= this.#sizes.input;
    if (held) this.found = { ...this.#at };
    return true;
  }
}

function microseconds(seconds = '0', fraction = '0'): number {
  return Number(seconds) * 1_000_000 + Number(fraction);
}

/** What a recording shows, in its order: pieces of output and window sizes, each with the time before it. */
import { closeSync, createReadStream, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openRegular, type Recording } from '../archive/recording.ts';
import { parseTimingLine } from './timing.ts';

export interface Frame {
  /** Seconds since the frame before. */
  readonly delay: number;
  /** Output; valid until the next frame is asked for. */
  readonly bytes?: Uint8Array;
  readonly size?: { readonly rows: number; readonly columns: number };
}

/** Why a recording plays without its timing, or not to its end: for a person to read. */
export type Notice = (text: string) => void;

const PIECE = 65_536;

/**
 * Without the transcript's header and trailer, which the session did not show.
 * @throws a system error when the transcript cannot be read
 */
export async function* frames(recording: Recording, notice: Notice): AsyncGenerator<Frame, void, undefined> {
  const fd = openRegular(recording.file);
  try {
    const { header, firstLine } = headerLength(fd);
    const transcript = new Pieces(fd, header, recording.size - recording.trailer);
    yield* timed(recording, transcript, header - firstLine, notice);
    // What the timing does not speak of: all of it where there is none.
    yield* transcript.take(0, Number.MAX_SAFE_INTEGER);
  } finally {
    closeSync(fd);
  }
}

async function* timed(
  recording: Recording,
  transcript: Pieces,
  headerRest: number,
  notice: Notice,
): AsyncGenerator<Frame, void, undefined> {
  const lines = timingLines(recording);
  if (lines === null) {
    notice('there is no timing beside the transcript; playing without');
    return;
  }
  let delay = 0;
  let first = true;
  for await (const line of lines) {
    const entry = parseTimingLine(line);
    if (entry === null) {
      notice('the timing is damaged; playing the rest without');
      return;
    }
    // Time that passes with input or notes passes all the same.
    delay += entry.delay;
    if (entry.type === 'output') {
      // The first stands for the header behind its first line.
      if (first && entry.size === headerRest) {
        first = false;
        continue;
      }
      first = false;
      yield* transcript.take(delay, entry.size);
    } else if (entry.type === 'resize') {
      yield { delay, size: { rows: entry.rows, columns: entry.columns } };
    } else {
      continue;
    }
    delay = 0;
  }
}

/** Lines that are complete; the last may be in the making. Null when there is no timing. */
function timingLines(recording: Recording): AsyncIterable<string> | null {
  let fd: number;
  try {
    fd = openRegular(`${recording.file}.timing`);
  } catch {
    return null;
  }
  return completeLines(fd);
}

async function* completeLines(fd: number): AsyncGenerator<string, void, undefined> {
  const input = createReadStream('', { fd });
  let ended = false;
  input.on('data', piece => {
    ended = (piece as Buffer).at(-1) === 0x0a;
  });
  try {
    let held: string | null = null;
    for await (const line of createInterface({ input })) {
      if (held !== null) yield held;
      held = line;
    }
    if (held !== null && ended) yield held;
  } finally {
    input.destroy();
  }
}

/** The bytes of a transcript between header and trailer, taken from the front. */
class Pieces {
  readonly #fd: number;
  readonly #end: number;
  readonly #buffer = Buffer.allocUnsafe(PIECE);
  #at: number;

  constructor(fd: number, start: number, end: number) {
    this.#fd = fd;
    this.#at = start;
    this.#end = end;
  }

  *take(delay: number, size: number): Generator<Frame, void, undefined> {
    let left = Math.min(size, this.#end - this.#at);
    let wait = delay;
    // Silence before the end is a part of the session.
    if (left <= 0 && delay > 0) yield { delay };
    while (left > 0) {
      const length = readSync(this.#fd, this.#buffer, 0, Math.min(left, PIECE), this.#at);
      if (length === 0) return;
      this.#at += length;
      left -= length;
      yield { delay: wait, bytes: this.#buffer.subarray(0, length) };
      wait = 0;
    }
  }
}

/**
 * Length of the lines before the session's bytes, with the two empty ones, and of the first of these lines. Both 0 for
 * a file that has no such header.
 */
function headerLength(fd: number): { header: number; firstLine: number } {
  const buffer = Buffer.alloc(PIECE);
  const text = buffer.toString('latin1', 0, readSync(fd, buffer, 0, PIECE, 0));
  const end = text.indexOf('\n\n\n');
  if (!text.startsWith('Username: ') || end < 0) return { header: 0, firstLine: 0 };
  return { header: end + 3, firstLine: text.indexOf('\n') + 1 };
}

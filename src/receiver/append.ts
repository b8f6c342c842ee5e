/** One append: a body of events into a session's files, up to the last whole event, durable before it is answered. */
import { EventDecoder, EventError, Kind } from '../session/event.ts';
import { MetadataError, parseSessionEnd, type SessionEnd } from '../session/metadata.ts';
import { Batch } from './batch.ts';
import type { Body } from './body.ts';
import { completeSession } from './completion.ts';
import { asRefusal, Refusal } from './refusal.ts';
import type { Session } from './session.ts';
import type { Space } from './space.ts';

export interface Append {
  /** Upload-Offset: where in the event stream the body begins. */
  readonly from: number;
  /** Upload-Complete: the stream ends with this body. */
  readonly last: boolean;
  readonly body: Body;
}

/** The exit event, held back: it is not in the files before the session is complete. */
interface Exit {
  readonly end: SessionEnd;
  readonly time: number;
  readonly offset: number;
}

/**
 * Takes an append, as the session's only one. Whatever happens in the middle, what came whole before it is committed.
 * @throws Refusal; BodyCutOff when the client is gone
 */
export async function append(session: Session, { from, last, body }: Append, space: Space): Promise<void> {
  if (from > session.offset) throw new Refusal('wrong-offset', `the offset is ${session.offset}`);
  if (session.sealed !== null) return repeat(session.sealed, from, body);
  const intake = new Intake(session, session.offset - from);
  let failure: unknown = null;
  try {
    await space.check();
    for (let pieces = await body.take(); pieces !== null; pieces = await body.take()) {
      await intake.add(pieces);
      await space.check();
    }
    intake.checkEnd(last);
  } catch (error) {
    failure = error;
  }
  await settle(session, intake, failure);
  if (failure) throw failure;
}

/** A last append again: its answer was lost. */
async function repeat(sealed: number, from: number, body: Body): Promise<void> {
  let offset = from;
  for (let pieces = await body.take(); pieces !== null; pieces = await body.take()) {
    for (const piece of pieces) offset += piece.length;
  }
  if (offset !== sealed) throw new Refusal('complete', `the session is complete with ${sealed} bytes`);
}

/** Commits, or completes. An error of the disk takes back what was not committed, and replaces any other. */
async function settle(session: Session, intake: Intake, failure: unknown): Promise<void> {
  const { files } = session;
  try {
    if (intake.failed) throw failure;
    if (intake.exit && !failure) {
      const { end, time, offset } = intake.exit;
      await completeSession(files, end, time, offset);
      session.sealed = offset;
      files.close();
    } else await files.commit();
  } catch (error) {
    try {
      files.rollBack();
    } catch {
      session.broken = true;
    }
    throw asRefusal(error);
  }
}

/** Turns the pieces of a body into batches for the files. */
class Intake {
  exit: Exit | null = null;
  /** The disk failed, not the peer. */
  failed = false;
  readonly #session: Session;
  readonly #decoder: EventDecoder;
  readonly #base: number;
  /** Bytes of the body that are in the archive already. */
  #skip: number;

  constructor(session: Session, skip: number) {
    this.#session = session;
    this.#base = session.offset;
    this.#decoder = new EventDecoder(session.files.committed.time);
    this.#skip = skip;
  }

  /** @throws Refusal for what is no event stream, after the events before it are written */
  async add(pieces: readonly Buffer[]): Promise<void> {
    const { files } = this.#session;
    const batch = new Batch(files.at);
    let offset = files.at.offset;
    let failure: unknown = null;
    try {
      for (const piece of pieces) {
        for (const event of this.#decoder.push(this.#unskipped(piece))) {
          if (event.kind === Kind.exit) this.#setExit(event.bytes, event.time);
          else {
            batch.add(event);
            offset = this.#base + this.#decoder.committed;
          }
        }
      }
    } catch (error) {
      failure = error;
    }
    await this.#write(batch, offset);
    if (failure) throw malformed(failure);
  }

  /** @throws Refusal when the end of the body is not the end that it says */
  checkEnd(last: boolean): void {
    if (!last) return;
    if (this.#decoder.pending > 0) throw new Refusal('malformed', 'the stream ends within an event');
    if (!this.exit) throw new Refusal('malformed', 'the stream ends without an exit event');
  }

  async #write(batch: Batch, offset: number): Promise<void> {
    if (offset === this.#session.files.at.offset) return;
    try {
      await this.#session.files.write(batch, offset);
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }

  #setExit(bytes: Uint8Array, time: number): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
    this.exit = { end: parseSessionEnd(text), time, offset: this.#base + this.#decoder.committed };
  }

  #unskipped(piece: Buffer): Buffer {
    if (this.#skip === 0) return piece;
    const skipped = Math.min(this.#skip, piece.length);
    this.#skip -= skipped;
    return piece.subarray(skipped);
  }
}

function malformed(error: unknown): unknown {
  if (!(error instanceof EventError || error instanceof MetadataError)) return error;
  return new Refusal('malformed', `no event stream: ${error.message}`, { cause: error });
}

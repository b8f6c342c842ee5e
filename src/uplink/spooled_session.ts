/** A session as the uplink knows it: a few numbers, because there may be thousands. No descriptor, buffer or timer. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_METADATA } from '../session/limits.ts';
import { parseSessionStart, type SessionStart } from '../session/metadata.ts';
import { type SpoolState, spoolName } from '../session/spool.ts';
import type { Endpoint } from './endpoint.ts';
import { UploadFailure } from './failure.ts';

export class SpooledSession {
  readonly id: string;
  state: SpoolState;
  /** Bytes in the file, the first line included. */
  size = 0;
  /** Where the event stream begins in the file; 0 until the first line was read. */
  start = 0;
  /** Offset in the event stream up to which `at` has it. */
  committed = 0;
  /** Offset up to which it was sent, the last event half: nothing to do until there is more. */
  offered = 0;
  /** The endpoint that said what it has; null when it is to be asked (again). */
  at: Endpoint | null = null;
  /** Whether it stands in the queue, or is being sent. */
  queued = false;
  busy = false;
  /** Attempts in a row that brought nothing forward. */
  failures = 0;
  /** Not before this time, milliseconds of Date.now(). */
  notBefore = 0;
  /** What the log was last told to be wrong with it. */
  problem = '';

  constructor(id: string, state: SpoolState) {
    this.id = id;
    this.state = state;
  }

  /** Bytes of the event stream that are in the file. */
  get available(): number {
    return this.start === 0 ? 0 : this.size - this.start;
  }

  /** Bytes that no archive acknowledged. */
  get backlog(): number {
    return Math.max(0, this.size - this.start - this.committed);
  }

  /** Takes over what a receiver said it has. */
  take(endpoint: Endpoint, offset: number): void {
    if (offset > this.committed) this.failures = 0;
    this.at = endpoint;
    this.committed = offset;
  }
}

/**
 * Looks at the file of a session: size, and whether it is done.
 * @returns whether it changed, or null when there is no such file any more
 */
export function look(directory: string, session: SpooledSession): boolean | null {
  const { size, state } = session;
  // In this order: a file that stops being live is done from then on.
  if (session.state === 'live' && !measure(directory, session)) session.state = 'done';
  if (session.state === 'done' && !measure(directory, session)) return null;
  return session.size !== size || session.state !== state;
}

function measure(directory: string, session: SpooledSession): boolean {
  const stat = statSync(spoolPath(directory, session), { throwIfNoEntry: false });
  if (stat === undefined) return false;
  session.size = stat.size;
  return true;
}

/** The session's file, where it is now. */
export function spoolPath(directory: string, session: SpooledSession): string {
  return join(directory, spoolName(session.id, session.state));
}

/**
 * Opens the session's file for reading.
 * @throws UploadFailure when it cannot be read
 */
export function openSpool(directory: string, session: SpooledSession): number {
  try {
    return openSync(spoolPath(directory, session), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || session.state === 'done')
      throw unreadable(error);
    session.state = 'done';
    return openSpool(directory, session);
  }
}

/**
 * Reads the first line of the session's file.
 * @returns null when it is not all there yet
 * @throws UploadFailure when it cannot be read or is no metadata of this session
 */
export function readMetadata(
  directory: string,
  session: SpooledSession,
): { text: string; metadata: SessionStart } | null {
  const line = readLine(directory, session);
  if (line === null) return null;
  let metadata: SessionStart;
  try {
    metadata = parseSessionStart(line.toString());
  } catch (error) {
    throw new UploadFailure(
      'hopeless',
      `the spool file's first line is not as it should be: ${(error as Error).message}`,
    );
  }
  if (metadata.id !== session.id) {
    throw new UploadFailure('hopeless', `the spool file's first line is of session ${metadata.id}`);
  }
  session.start = line.length + 1;
  return { text: line.toString(), metadata };
}

function readLine(directory: string, session: SpooledSession): Buffer | null {
  const fd = openSpool(directory, session);
  try {
    let line = Buffer.alloc(0);
    while (line.length <= MAX_METADATA) {
      const piece = Buffer.allocUnsafe(1024);
      const length = readSync(fd, piece, 0, piece.length, line.length);
      const end = piece.subarray(0, length).indexOf(0x0a);
      line = Buffer.concat([line, piece.subarray(0, end < 0 ? length : end)]);
      if (end >= 0) return line;
      if (length === 0) return null;
    }
  } catch (error) {
    throw unreadable(error);
  } finally {
    closeSync(fd);
  }
  throw new UploadFailure('hopeless', `the spool file's first line is longer than ${MAX_METADATA} bytes`);
}

function unreadable(error: unknown): UploadFailure {
  return new UploadFailure('session', `the spool file cannot be read: ${(error as Error).message}`);
}

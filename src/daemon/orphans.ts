/** Sessions that a crash of ttyspyd left open: their files get an end, so that the archive learns of it. */
import { closeSync, ftruncateSync, openSync, readdirSync, readSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../os/log.ts';
import { EventDecoder, EventError, encodeEvent, Kind } from '../session/event.ts';
import type { SessionEnd } from '../session/metadata.ts';
import { parseSpoolName, spoolName } from '../session/spool.ts';

const END: SessionEnd = { reason: 'daemon-gone', status: null, signal: null, streams: {} };

/** @returns how many there were */
export function closeOrphans(spoolPath: string, log: Log): number {
  let count = 0;
  for (const name of readdirSync(spoolPath)) {
    const file = parseSpoolName(name);
    if (file?.state !== 'live') continue;
    try {
      closeOrphan(join(spoolPath, name));
      renameSync(join(spoolPath, name), join(spoolPath, spoolName(file.id, 'done')));
      log.warn({ session: file.id }, 'session was cut off by the end of ttyspyd; closed');
      count++;
    } catch (error) {
      log.error({ session: file.id, error: String(error) }, 'spool file cannot be closed; left as it is');
    }
  }
  return count;
}

/** Cuts a torn last event off and appends the end. */
function closeOrphan(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    const { size, time, ended } = wholeEvents(fd);
    ftruncateSync(fd, size);
    const bytes = Buffer.from(JSON.stringify(END));
    if (!ended) writeSync(fd, encodeEvent({ time, kind: Kind.exit, bytes }), 0, undefined, size);
  } finally {
    closeSync(fd);
  }
}

/** Where the last whole event ends, and when it was. */
function wholeEvents(fd: number): { size: number; time: number; ended: boolean } {
  const buffer = Buffer.allocUnsafe(1 << 20);
  const decoder = new EventDecoder();
  let start = -1;
  for (let at = 0; ; ) {
    const length = readSync(fd, buffer, 0, buffer.length, at);
    if (length === 0) break;
    let piece = buffer.subarray(0, length);
    at += length;
    if (start < 0) {
      const newline = piece.indexOf(10);
      if (newline < 0) throw new Error('no metadata');
      start = newline + 1;
      piece = piece.subarray(start);
    }
    try {
      for (const _ of decoder.push(piece));
    } catch (error) {
      if (!(error instanceof EventError)) throw error;
      break; // What a power cut tore is not of a whole event, either.
    }
  }
  if (start < 0) throw new Error('no metadata');
  return { size: start + decoder.committed, time: decoder.time, ended: decoder.ended };
}

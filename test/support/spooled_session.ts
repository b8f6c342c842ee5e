/** A session as it stands in a spool file. */
import { readFileSync } from 'node:fs';
import { type Event, EventDecoder, Kind } from '../../src/session/event.ts';
import {
  parseSessionEnd,
  parseSessionStart,
  type SessionEnd,
  type SessionStart,
} from '../../src/session/metadata.ts';

export interface SpooledSession {
  readonly start: SessionStart;
  readonly events: readonly Event[];
  /** Null while there is no exit event. */
  readonly end: SessionEnd | null;
  /** Payloads of a kind, one behind the other. */
  bytes(kind: Kind): Buffer;
}

/**
 * @throws for anything that is not whole: a wrong member, or a torn event where it is done. While it lives there may be
 *   one that found no room; the next is written over it.
 */
export function readSpoolFile(path: string): SpooledSession {
  const file = readFileSync(path);
  const newline = file.indexOf(10);
  const decoder = new EventDecoder();
  const events = [...decoder.push(file.subarray(newline + 1))];
  if (decoder.pending > 0 && path.endsWith('.done'))
    throw new Error(`${decoder.pending} bytes of a torn event`);
  const exit = events.find(event => event.kind === Kind.exit);
  return {
    start: parseSessionStart(file.toString('utf8', 0, newline)),
    events,
    end: exit ? parseSessionEnd(Buffer.from(exit.bytes).toString()) : null,
    bytes: kind => Buffer.concat(events.filter(event => event.kind === kind).map(event => event.bytes)),
  };
}

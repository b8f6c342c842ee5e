/**
 * The names and the shape of a spool file, which ttyspyd writes and ttyspy-uplink follows.
 *
 * A spool file is one line of JSON (SessionStart), a line feed, and the event stream from its offset 0. While the
 * session lives it is named `ID.live`; when its exit event is in it, it becomes `ID.done`. The uplink removes a
 * `.done` file once the archive said complete.
 */
import { isSessionId } from './metadata.ts';

export type SpoolState = 'live' | 'done';

export function spoolName(id: string, state: SpoolState): string {
  return `${id}.${state}`;
}

/** @returns null for a name that is no spool file's */
export function parseSpoolName(name: string): { id: string; state: SpoolState } | null {
  const [id, state, rest] = name.split('.');
  if (!isSessionId(id) || rest !== undefined) return null;
  return state === 'live' || state === 'done' ? { id, state } : null;
}

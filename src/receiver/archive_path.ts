/** Where a session lies in the archive, from its metadata alone. Pure. */
import type { SessionStart } from '../session/metadata.ts';

export interface ArchivePath {
  /** Directories below the store: user, host, year, month, day. */
  readonly directories: readonly string[];
  /** Name of the transcript; `.timing`, `.input` and `.json` stand beside it. */
  readonly name: string;
}

/** @param start checked metadata: its names are fit to be directories, its start is RFC 3339 in UTC */
export function archivePath(start: SessionStart): ArchivePath {
  const [year = '', month = '', day = ''] = start.started.slice(0, 10).split('-');
  return {
    directories: [start.username, start.hostname, year, month, day],
    name: `transcript_${wholeSeconds(start.started)}_${start.id}`,
  };
}

/** An RFC 3339 time in UTC without its fraction, as the original wrote times. */
export function wholeSeconds(time: string): string {
  return `${time.slice(0, 19)}Z`;
}

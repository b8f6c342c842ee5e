/** The text around the bytes in a transcript, as the original wrote it. Pure. */
import type { SessionEnd, SessionStart } from '../session/metadata.ts';
import { wholeSeconds } from './archive_path.ts';

/**
 * The header: a line for each fact, two empty lines.
 * The values come from the peer; a line feed in one must not make a line of its own.
 */
export function transcriptHeader(start: SessionStart): Buffer {
  const lines = [
    `Username: ${visible(start.username)}`,
    `GECOS: ${visible(start.gecos)}`,
    `Hostname: ${visible(start.hostname)}`,
    `Session started: ${wholeSeconds(start.started)}`,
  ];
  const client = start.claims.ssh_client;
  if (typeof client === 'string' && client !== '') lines.push(`SSH_Client: ${visible(client)}`);
  return Buffer.from(`${lines.join('\n')}\n\n\n`);
}

/** Length of the header's first line with its line feed, which scriptreplay skips, bytes. */
export function firstLineLength(start: SessionStart): number {
  return Buffer.byteLength(`Username: ${visible(start.username)}\n`);
}

/** Ends that are not the session's own: the transcript may lack something, and says so. */
const INCOMPLETE: Readonly<Record<string, string>> = {
  'cut-off': 'the connection ended before the session did',
  'daemon-gone': 'the recorder ended before the session did',
  error: 'the recording failed',
};

/**
 * The trailer: two line feeds, the time of the end, and a line more when the session was cut off.
 * @param ended milliseconds since the epoch
 */
export function transcriptTrailer(ended: number, end: SessionEnd): Buffer {
  const why = Object.hasOwn(INCOMPLETE, end.reason) ? INCOMPLETE[end.reason] : undefined;
  const note = why === undefined ? '' : `Session cut off: ${why}\n`;
  return Buffer.from(`\n\nSession ended: ${wholeSeconds(isoTime(ended))}\n${note}`);
}

/** Time as RFC 3339 in UTC; one that no calendar holds becomes its nearest end. */
export function isoTime(ms: number): string {
  const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
  return new Date(Math.min(Math.max(ms, 0), latest)).toISOString();
}

/** Control characters and what breaks lines in Unicode, escaped so that they are seen. */
function visible(value: string): string {
  return value.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, character => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/**
 * Lines of a `.timing` file: multi-stream timing of util-linux (script(1), scriptreplay(1)). Pure.
 *
 * Delays are of the line before, seconds with six decimals; times given here are microseconds.
 */
import type { Marker } from '../session/event.ts';
import type { SessionStart } from '../session/metadata.ts';
import { wholeSeconds } from './archive_path.ts';

/** The two sorts of output that a transcript mixes. */
export type OutputStream = 'stdout' | 'stderr';

/** Longest value of an H line: scriptreplay reads lines of BUFSIZ (8192) and takes the rest for the next line. */
const LONGEST_VALUE = 4_096;

/** `O` and `I`: `size` bytes of output or input came `delay` after the line before. */
export function dataLine(letter: 'O' | 'I', delay: number, size: number): string {
  return `${letter} ${seconds(delay)} ${size}\n`;
}

export function resizeLine(delay: number, rows: number, columns: number): string {
  return `S ${seconds(delay)} SIGWINCH ROWS=${rows} COLS=${columns}\n`;
}

export function streamLine(stream: OutputStream): string {
  return `H 0.000000 STREAM ${stream}\n`;
}

export function commitLine(offset: number): string {
  return `H 0.000000 COMMIT ${offset}\n`;
}

/** A marker in one line of ASCII, or, when that is too long, in one MARKER line and MARKER+ lines that go on. */
export function markerLines(delay: number, marker: Marker): string {
  const json = ascii(JSON.stringify(marker));
  let lines = `H ${seconds(delay)} MARKER ${json.slice(0, LONGEST_VALUE)}\n`;
  for (let at = LONGEST_VALUE; at < json.length; at += LONGEST_VALUE) {
    lines += `H 0.000000 MARKER+ ${json.slice(at, at + LONGEST_VALUE)}\n`;
  }
  return lines;
}

/** The first lines: what script(1) notes of a session, and the rest of the transcript's header as output. */
export function timingHeader(start: SessionStart, headerRest: number): string {
  let lines = `H 0.000000 START_TIME ${wholeSeconds(start.started)}\n`;
  const { term } = start.claims;
  if (typeof term === 'string' && /^[\w.+-]{1,64}$/.test(term)) lines += `H 0.000000 TERM ${term}\n`;
  if (start.columns !== null) lines += `H 0.000000 COLUMNS ${start.columns}\n`;
  if (start.rows !== null) lines += `H 0.000000 LINES ${start.rows}\n`;
  return `${lines}${dataLine('O', 0, headerRest)}${commitLine(0)}`;
}

/** The last lines: the time to the end, the transcript's trailer, and what script(1) notes of an end. */
export function timingTrailer(delay: number, size: number, duration: number, status: number | null): string {
  const code = status === null ? '' : `H 0.000000 EXIT_CODE ${status}\n`;
  return `${dataLine('O', delay, size)}H 0.000000 DURATION ${seconds(duration)}\n${code}`;
}

function seconds(microseconds: number): string {
  const whole = Math.floor(microseconds / 1_000_000);
  return `${whole}.${String(microseconds - whole * 1_000_000).padStart(6, '0')}`;
}

function ascii(json: string): string {
  return json.replace(/[^ -~]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

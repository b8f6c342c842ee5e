/** ttyspyctl list: the sessions of an archive, oldest first. */
import { parseCommandLine } from '../command_line.ts';
import { printable } from '../failure.ts';
import type { Recording } from './recording.ts';
import { defaultStore, recordings } from './store.ts';

const OPTIONS = { store: { type: 'string' }, json: { type: 'boolean', default: false } } as const;

export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseCommandLine(args, OPTIONS);
  const found = [
    ...recordings(values.store ?? defaultStore(), positionals, failure => {
      process.stderr.write(`ttyspyctl: ${failure.message}\n`);
      process.exitCode = failure.status;
    }),
  ].toSorted((a, b) => (a.started < b.started ? -1 : a.started > b.started ? 1 : 0));

  if (values.json) {
    for (const recording of found) await print(`${asJson(recording)}\n`);
    return;
  }
  if (found.length === 0) {
    process.stderr.write('ttyspyctl: no sessions\n');
    return;
  }
  const rows = [COLUMNS.map(column => column.title), ...found.map(row)];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map(cells => cells[i]?.length ?? 0)));
  for (const cells of rows) {
    const padded = cells.map((cell, i) => {
      const width = widths[i] ?? 0;
      return COLUMNS[i]?.right ? cell.padStart(width) : cell.padEnd(width);
    });
    await print(`${padded.join('  ').trimEnd()}\n`);
  }
}

/** How it ended, in a word or two. */
export function ending({ end, ended, mode }: Recording): string {
  if (end === null) return mode === 'original' && ended !== null ? 'ended' : 'open';
  if (end.status !== null) return `exit ${end.status}`;
  if (end.signal !== null) return `signal ${end.signal}`;
  return end.reason;
}

/** Seconds from start to end; null where there is no end. */
export function duration({ started, ended }: Recording): number | null {
  const ms = ended === null ? Number.NaN : Date.parse(ended) - Date.parse(started);
  return ms >= 0 ? ms / 1000 : null;
}

/** Such as 0:07, 12:30, 1:00:00. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const COLUMNS: readonly { title: string; right?: true; cell: (recording: Recording) => string }[] = [
  { title: 'STARTED', cell: ({ started }) => (started ? `${started.slice(0, 19)}Z` : '-') },
  { title: 'USER', cell: ({ username }) => username },
  { title: 'HOST', cell: ({ hostname }) => hostname },
  { title: 'MODE', cell: ({ mode }) => mode },
  { title: 'TIME', right: true, cell: recording => showDuration(duration(recording)) },
  { title: 'SIZE', right: true, cell: ({ size }) => showSize(size) },
  { title: 'END', cell: ending },
  { title: 'ID', cell: ({ id }) => id },
];

function row(recording: Recording): string[] {
  return COLUMNS.map(({ cell }) => printable(cell(recording)));
}

function showDuration(seconds: number | null): string {
  return seconds === null ? '-' : clock(seconds);
}

function showSize(bytes: number): string {
  let value = bytes;
  let unit = '';
  for (const next of ['K', 'M', 'G', 'T']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${unit === '' ? value : value.toFixed(1)}${unit}`;
}

/** In ASCII, so that no name can do anything to a terminal. */
function asJson(recording: Recording): string {
  const json = JSON.stringify({ ...recording, trailer: undefined, duration: duration(recording) });
  return json.replace(/[^ -~]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Waits for the reader, so that a long list is not held in memory twice. */
function print(text: string): Promise<void> | void {
  if (process.stdout.write(text)) return;
  return new Promise(resolve => process.stdout.once('drain', resolve));
}

/**
 * Reads a `.timing` file: multi-stream timing of util-linux (script(1), scriptreplay(1)), a line at a time, and the
 * older form of two numbers. Pure.
 */

/** What a line says. `delay` is seconds since the line before. */
export type TimingEntry =
  | { readonly type: 'output' | 'input'; readonly delay: number; readonly size: number }
  | { readonly type: 'resize'; readonly delay: number; readonly rows: number; readonly columns: number }
  | { readonly type: 'note'; readonly delay: number; readonly name: string; readonly value: string };

/** @returns null for a line that is none of these */
export function parseTimingLine(line: string): TimingEntry | null {
  const [, letter = 'O', seconds = '', rest = ''] =
    /^(?:([A-Z]) )?(\d{1,12}\.\d{1,9}) (.*)$/.exec(line) ?? [];
  if (seconds === '') return null;
  const delay = Number(seconds);
  if (letter === 'O' || letter === 'I') {
    if (!/^\d{1,15}$/.test(rest)) return null;
    return { type: letter === 'O' ? 'output' : 'input', delay, size: Number(rest) };
  }
  if (letter === 'S') {
    const [, rows, columns] = /^SIGWINCH ROWS=(\d{1,5}) COLS=(\d{1,5})$/.exec(rest) ?? [];
    if (rows !== undefined) return { type: 'resize', delay, rows: Number(rows), columns: Number(columns) };
  }
  const [name = '', ...words] = rest.split(' ');
  return { type: 'note', delay, name, value: words.join(' ') };
}

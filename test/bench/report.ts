/** The tables that the bench prints. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { findProgram } from './contender.ts';
import { type ByName, type Goal, median, medianRatio, perSession, reached } from './goals.ts';
import type { Figures } from './measures.ts';

/** The machine and the versions of what is compared, a line each. */
export function machine(): string[] {
  const version = (program: string, argument: string) => {
    const path = findProgram(program);
    return path
      ? (execFileSync(path, [argument], { encoding: 'utf8' }).split('\n')[0] as string)
      : `no ${program}`;
  };
  const [load = 0] = loadavg();
  return [
    `${cpus().length} x ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    `load before: ${load.toFixed(2)}`,
    `${version('script', '--version')}; ${version('tlog-rec', '--version')}; ${version('sudo', '-V')}; Node ${process.version}`,
  ];
}

type Cell = (figures: Figures) => string;

function cell(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined ? '-' : value.toFixed(digits);
}

/** Rows of the table: title, unit, what a contender's figures give. */
function rows(figures: ByName, counts: readonly number[]): [string, string, Cell][] {
  const script = figures.get('script');
  const bare = figures.get('bare');
  const [one, some, many] = counts as [number, number, number];
  return [
    ['bulk', 'MB/s', f => cell(median(f.bulk), 1)],
    ["  of script's", '', f => cell(medianRatio(f.bulk, script?.bulk), 2)],
    ['  CPU of the recorder', 's', f => cell(median(f.cpu), 2)],
    ['  of it in daemons', 's', f => cell(median(f.daemonCpu), 2)],
    ['  record complete after', 's', f => cell(median(f.lag), 2)],
    ['  record exact', '', f => (f.exact === null ? '-' : f.exact ? 'yes' : 'NO')],
    ['keystroke p50', 'us', f => cell(median(f.p50), 1)],
    ["  of script's", '', f => cell(medianRatio(f.p50, script?.p50), 2)],
    ['keystroke p99', 'us', f => cell(median(f.p99), 1)],
    ["  of script's", '', f => cell(medianRatio(f.p99, script?.p99), 2)],
    ['keystroke max', 'us', f => cell(median(f.max), 0)],
    ['spawn to first byte', 'ms', f => cell(median(f.spawn), 2)],
    ['daemons when idle', 'KiB', f => cell(f.idle, 0)],
    [`a session, ${one} to ${some}`, 'KiB', f => cell(perSession(f, bare, one, some), 1)],
    [`a session, ${some} to ${many}`, 'KiB', f => cell(perSession(f, bare, some, many), 1)],
  ];
}

/** One column a contender, medians over the rounds. Rows that nobody was measured for are left out. */
export function comparison(figures: ByName, counts: readonly number[]): string[] {
  const names = [...figures.keys()];
  const lines = [['', '', ...names]];
  for (const [title, unit, of] of rows(figures, counts)) {
    const cells = [...figures.values()].map(of);
    if (cells.some(text => text !== '-')) lines.push([title, unit, ...cells]);
  }
  return lines.map(([title = '', unit = '', ...cells]) =>
    [title.padEnd(26), unit.padEnd(5), ...cells.map(text => text.padStart(10))].join(''),
  );
}

export function verdicts(goals: readonly Goal[]): string[] {
  return goals
    .filter(goal => goal.value !== null)
    .map(goal => {
      const value = `${cell(goal.value, 2)} ${goal.unit}`.trim();
      const verdict = reached(goal) ? 'ok   ' : 'short';
      return `${verdict}  ${goal.what.padEnd(34)}${value.padStart(12)}   goal: ${goal.bound} ${goal.limit}`;
    });
}

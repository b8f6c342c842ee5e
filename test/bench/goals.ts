/** What ttyspy is to reach, and statistics to tell. */
import type { Figures } from './measures.ts';

export interface Goal {
  readonly what: string;
  readonly unit: string;
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
  /** Null where it was not measured. */
  readonly value: number | null;
}

export type ByName = ReadonlyMap<string, Figures>;

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}

/** Median of the ratios round by round: what disturbed a round disturbed both sides of it. */
export function medianRatio(over: readonly number[] = [], under: readonly number[] = []): number | null {
  if (over.length !== under.length) return null;
  return median(over.map((value, i) => value / (under[i] as number)));
}

/** KiB that each session from the `from`th to the `to`th adds, the session's own command taken off. */
export function perSession(
  figures: Figures,
  bare: Figures | undefined,
  from: number,
  to: number,
): number | null {
  const recorder = (count: number) =>
    (figures.memory[count] ?? Number.NaN) - (bare?.memory[count] ?? Number.NaN);
  const each = (recorder(to) - recorder(from)) / (to - from);
  return Number.isNaN(each) ? null : each;
}

export function goals(figures: ByName, counts: readonly number[]): Goal[] {
  const [one, some, many] = counts as [number, number, number];
  const ours = figures.get('ttyspy');
  if (!ours) return [];
  const bare = figures.get('bare');
  const against = (peer: string, key: 'bulk' | 'p50' | 'p99') =>
    medianRatio(ours[key], figures.get(peer)?.[key]);
  const start = median(ours.spawn);
  const shell = median(bare?.spawn ?? []);
  return [
    goal("bulk, of script's", '', 'at least', 1, against('script', 'bulk')),
    goal("bulk, of sudo_logsrvd's", '', 'at least', 1, against('sudo', 'bulk')),
    goal("bulk, of tlog's", '', 'at least', 3, against('tlog', 'bulk')),
    goal('CPU of all recorder processes', 's', 'at most', 0.5, median(ours.cpu)),
    goal("keystroke p50, of script's", '', 'at most', 1.2, against('script', 'p50')),
    goal("keystroke p99, of script's", '', 'at most', 1.5, against('script', 'p99')),
    goal(`memory a session, ${one} to ${some}`, 'KiB', 'at most', 60, perSession(ours, bare, one, some)),
    goal(`memory a session, ${some} to ${many}`, 'KiB', 'at most', 60, perSession(ours, bare, some, many)),
    goal(
      'ttyspyd and uplink when idle',
      'MB',
      'at most',
      80,
      ours.idleHost === null ? null : (ours.idleHost * 1024) / 1e6,
    ),
    goal(
      'start, beyond the bare shell',
      'ms',
      'at most',
      25,
      start === null || shell === null ? null : start - shell,
    ),
  ];
}

function goal(what: string, unit: string, bound: Goal['bound'], limit: number, value: number | null): Goal {
  return { what, unit, bound, limit, value };
}

export function reached(goal: Goal): boolean {
  return (
    goal.value !== null && (goal.bound === 'at least' ? goal.value >= goal.limit : goal.value <= goal.limit)
  );
}

/** What processes cost, from proc(5). */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** USER_HZ: the unit of times in /proc/PID/stat on every Linux architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Fields of /proc/PID/stat from the third (state) on; null when the process is gone. */
function stat(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** CPU seconds that the processes and their children they waited for have used. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    // utime, stime, cutime, cstime are fields 14 to 17.
    for (const field of stat(pid)?.slice(11, 15) ?? []) ticks += Number(field);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Waits until the processes have used no CPU for a fifth of a second, but at most five seconds. */
export async function quiet(pids: readonly number[]): Promise<void> {
  let before = cpuSeconds(pids);
  let still = 0;
  for (let i = 0; i < 100 && still < 4; i++) {
    await sleep(50);
    const after = cpuSeconds(pids);
    still = after === before ? still + 1 : 0;
    before = after;
  }
}

/** All descendants of the process, itself not among them. */
export function descendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of readdirSync('/proc').map(Number)) {
    const parent = pid > 0 ? stat(pid)?.[1] : undefined;
    if (parent !== undefined) children.set(Number(parent), [...(children.get(Number(parent)) ?? []), pid]);
  }
  const found: number[] = [];
  for (const queue = [root]; queue.length > 0; ) {
    const next = children.get(queue.pop() as number) ?? [];
    found.push(...next);
    queue.push(...next);
  }
  return found;
}

/** Proportional set size of the processes together, KiB: their own pages, and their share of those they share. */
export function pss(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    try {
      total += Number(
        /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0,
      );
    } catch {
      // Gone meanwhile; a process that belongs to the contender and is gone costs nothing.
    }
  }
  return total;
}

/**
 * Memory that the processes would take were they alone on the machine, KiB: private pages of each, and of each file
 * they map once what is resident. (PSS of a daemon falls with every stranger that runs the same Node.)
 */
export function footprint(pids: readonly number[]): number {
  let own = 0;
  const shared = new Map<string, number>();
  for (const pid of pids) {
    for (const mapping of mappings(pid)) {
      own += mapping.own;
      shared.set(mapping.file, Math.max(shared.get(mapping.file) ?? 0, mapping.shared));
    }
  }
  return own + [...shared.values()].reduce((sum, size) => sum + size, 0);
}

/** /proc/PID/smaps: of each mapping the file and offset, and KiB that only this process, and that others too have. */
function mappings(pid: number): { file: string; own: number; shared: number }[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/smaps`, 'latin1');
  } catch {
    return [];
  }
  return text.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).map(entry => {
    const [, , offset, device, inode] = entry.split('\n', 1)[0]?.split(/ +/) ?? [];
    const size = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(entry)?.[1] ?? 0);
    return {
      file: `${device} ${inode} ${offset}`,
      own: size('Private_Clean') + size('Private_Dirty'),
      shared: size('Shared_Clean') + size('Shared_Dirty'),
    };
  });
}

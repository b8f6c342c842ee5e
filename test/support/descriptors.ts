/** What a process has open, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** How many descriptors a process has open. The one that counts them in this process is not counted. */
export function openDescriptors(pid: number | 'self' = 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length - (pid === 'self' ? 1 : 0);
}

/** Flags of a descriptor of this process, as open(2) has them (proc(5), fdinfo). */
export function flagsOf(fd: number): number {
  return Number.parseInt(
    /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
    8,
  );
}

const O_CLOEXEC = 0o2000000;

export function closesOnExec(fd: number): boolean {
  return (flagsOf(fd) & O_CLOEXEC) !== 0;
}

/** Terminals that belong to another user and are in this one's hands all the same: su(1) lends its own. */
import { readFileSync } from 'node:fs';

/** What proc(5) tells of a process. */
interface Process {
  readonly parent: number;
  readonly session: number;
  /** Device of its controlling terminal, as st_rdev. */
  readonly terminal: number;
}

/**
 * Whether root started a process on a terminal: su and sudo stay as its parent, root's, on the caller's terminal, or
 * have it lead a session on one of their making. A descriptor that somebody kept from before does not pass.
 * @param device st_rdev of the terminal
 * @param pid of the process that has it
 */
export function isLent(device: number, pid: number): boolean {
  const process = inspect(pid);
  if (!process || effectiveUid(process.parent) !== 0) return false;
  if (process.session === pid && process.terminal === device) return true;
  // On the caller's terminal ttyspy has left the parent's session to lead its own, if su has not.
  return inspect(process.parent)?.terminal === device;
}

/** /proc/PID/stat; the command's name in it, in parentheses, may contain anything. */
function inspect(pid: number): Process | null {
  const text = read(`/proc/${pid}/stat`);
  if (text === null) return null;
  const [, parent, , session, terminal] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(parent), session: Number(session), terminal: Number(terminal) };
}

function effectiveUid(pid: number): number | null {
  const match = /^Uid:\s*\d+\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? '');
  return match ? Number(match[1]) : null;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

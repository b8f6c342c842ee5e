/** Who a client is: from the kernel and the passwd database, never from what it says. */
import { readFileSync } from 'node:fs';
import { native, type PeerCredentials } from '../os/native.ts';
import { passwdByUid } from '../os/passwd.ts';
import { type KernelFacts, nameProblem } from '../session/metadata.ts';

/** Loginuid and audit session of what was never logged in (audit(7)). */
const UNSET = 0xffff_ffff;

export interface Identity {
  readonly username: string;
  readonly gecos: string;
  readonly facts: Omit<KernelFacts, 'tty'>;
}

/** @returns null for a uid that nobody has, or whose name cannot be an archive's directory */
export function identify(peer: PeerCredentials): Identity | null {
  const entry = passwdByUid(peer.uid);
  if (!entry || nameProblem(entry.name)) return null;
  const parent = statusField(peer.pid, 'PPid');
  return {
    username: entry.name,
    gecos: entry.gecos ?? '',
    facts: {
      uid: peer.uid,
      gid: peer.gid,
      pid: peer.pid,
      loginuid: audit(peer.pid, 'loginuid'),
      audit_session: audit(peer.pid, 'sessionid'),
      parent_pid: parent,
      parent_comm: parent === null ? null : (read(`/proc/${parent}/comm`)?.trimEnd() ?? null),
      home: entry.dir,
      shell: entry.shell,
    },
  };
}

/** The name of a terminal for the record; null for what has none here, such as another mount namespace's. */
export function terminalName(fd: number): string | null {
  try {
    return native.ttyName(fd);
  } catch {
    return null;
  }
}

function audit(pid: number, file: 'loginuid' | 'sessionid'): number | null {
  const text = read(`/proc/${pid}/${file}`);
  const value = text === null ? UNSET : Number(text);
  return Number.isInteger(value) && value !== UNSET ? value : null;
}

function statusField(pid: number, field: string): number | null {
  const match = new RegExp(`^${field}:\\s*(\\d+)`, 'm').exec(read(`/proc/${pid}/status`) ?? '');
  return match ? Number(match[1]) : null;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

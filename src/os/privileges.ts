/** Giving root up for good. */
import { createRequire } from 'node:module';
import { native } from './native.ts';
import type { PasswdEntry } from './passwd.ts';

interface Posix {
  initgroups(user: string, group: number): void;
  setgid(gid: number): void;
  setuid(uid: number): void;
}

/**
 * Becomes the account: its groups, gid and uid, real, effective and saved.
 * @throws Error when any of it failed or root could be had back; then the process must end
 */
export function dropPrivileges(entry: PasswdEntry): void {
  const posix = createRequire(import.meta.url)('posix') as Posix;
  posix.initgroups(entry.name, entry.gid);
  posix.setgid(entry.gid);
  posix.setuid(entry.uid);
  const [ruid, euid, suid, rgid, egid, sgid] = native.userIds();
  if (
    ![ruid, euid, suid].every(uid => uid === entry.uid) ||
    ![rgid, egid, sgid].every(gid => gid === entry.gid)
  ) {
    throw new Error(`could not become ${entry.name} altogether`);
  }
  if (entry.uid !== 0 && canBecomeRoot(posix)) throw new Error('root can be had back');
}

function canBecomeRoot(posix: Posix): boolean {
  try {
    posix.setuid(0);
    return true;
  } catch {
    return false;
  }
}

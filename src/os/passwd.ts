/** The passwd database, by way of NSS, so that directory users are in it. */
import { createRequire } from 'node:module';

export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly gecos: string;
  readonly dir: string;
  readonly shell: string;
}

interface Posix {
  getpwnam(who: string | number): PasswdEntry;
}

let posix: Posix | undefined;

function lookUp(who: string | number): PasswdEntry | null {
  posix ??= createRequire(import.meta.url)('posix') as Posix;
  try {
    return posix.getpwnam(who);
  } catch {
    return null;
  }
}

/** @returns null for an unknown name */
export function passwdByName(name: string): PasswdEntry | null {
  return lookUp(name);
}

/** @returns null for an unknown uid */
export function passwdByUid(uid: number): PasswdEntry | null {
  return lookUp(uid);
}

/** The uid of an account, or of a number written as one (as chown(1) takes them); null for an unknown name. */
export function passwdUid(name: string): number | null {
  return passwdByName(name)?.uid ?? (/^\d+$/.test(name) ? Number(name) : null);
}

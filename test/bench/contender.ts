/** A recorder that is measured, whatever it is made of. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * What starts a contender's archive: it stands for another host, so it gets what the recorded one leaves over. Its CPU
 * time counts all the same.
 */
export const ON_ANOTHER_HOST: readonly string[] = ['nice', '-n', '19'];

export interface Contender {
  readonly name: string;
  /** Why it cannot be measured here, in a sentence; null when it can. */
  missing(): string | null;
  /** Starts its daemons and waits until they are ready. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Long-lived processes that serve all sessions. */
  daemons(): number[];
  /** Those of them that run on the host that is recorded, not on the archive's. */
  host(): number[];
  /** What records a run of `payload`; {} in it stands for the session's number. */
  command(payload: readonly string[]): string[];
  /** The driver's command in the surroundings that this contender needs. */
  around(drive: readonly string[]): string[];
  /** Waits until everything that was shown is in the record. */
  settle(): Promise<void>;
  /** SHA-256, hex, of the terminal output that the only session since the last forget() left in the record. */
  recordedSha256(): Promise<string>;
  /** Removes what was recorded. */
  forget(): void;
}

/** Where a program is, searched as a shell would, and where daemons are; null when it is not installed. */
export function findProgram(name: string): string | null {
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/sbin'];
  for (const dir of path) {
    try {
      accessSync(join(dir, name), constants.X_OK);
      return join(dir, name);
    } catch {
      // Not here.
    }
  }
  return null;
}

/** A word as sh(1) reads it back unchanged. */
export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Runs `drive` in a mount namespace of its own, after `mount`, a line of sh(1): what it mounts nobody else sees. */
export function withMounts(mount: string, drive: readonly string[]): string[] {
  return [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    `${mount} && exec "$@"`,
    'sh',
    ...drive,
  ];
}

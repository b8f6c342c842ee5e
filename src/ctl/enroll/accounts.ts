/** Local accounts: passwd(5) below a root directory, and usermod(8), which locks and changes it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Exit, Failure, fromSystem, printable } from '../failure.ts';
import { enrolledAs } from './shells.ts';

export interface Account {
  readonly name: string;
  readonly uid: number;
  /** As it stands in passwd; empty means /bin/sh. */
  readonly shell: string;
}

/** What `nobody` is in most systems, beyond UID_MIN all the same. */
const NOBODY = 65_534;

export class Accounts {
  /** The root directory; `/` but for a system that is being made. */
  readonly root: string;
  readonly #entries: ReadonlyMap<string, Account>;

  /** @throws Failure when passwd cannot be read */
  constructor(root: string) {
    this.root = root;
    this.#entries = new Map(
      parsePasswd(readText(join(root, 'etc/passwd'))).map(entry => [entry.name, entry]),
    );
  }

  /**
   * The accounts of these names.
   * @throws Failure naming all that are unknown
   */
  find(names: readonly string[]): Account[] {
    const unknown = names.filter(name => !this.#entries.has(name));
    if (unknown.length > 0) {
      throw new Failure(
        Exit.noInput,
        `not in ${join(this.root, 'etc/passwd')}: ${unknown.map(printable).join(', ')}; no user was changed. ` +
          'The shell of a user from a directory service is set there',
      );
    }
    return [...new Set(names)].flatMap(name => this.#entries.get(name) ?? []);
  }

  /** Whether it is root's or a service's. */
  isSystem({ uid }: Account): boolean {
    return uid < this.#leastUid() || uid === NOBODY;
  }

  /** Whether an enrolled user has a shell, in passwd as it is now: as the link, or behind it. */
  isEnrolled(shell: string): boolean {
    return parsePasswd(readText(join(this.root, 'etc/passwd'))).some(entry => {
      const name = enrolledAs(entry.shell);
      return name !== null && (entry.shell === shell || name === basename(shell));
    });
  }

  /** @throws Failure with what usermod said */
  setShell(name: string, shell: string): void {
    const prefix = this.root === '/' ? [] : ['--prefix', this.root];
    // `=`: a shell may be the empty word.
    const result = spawnSync('usermod', [...prefix, `--shell=${shell}`, '--', name], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C', PATH: '/usr/sbin:/sbin:/usr/bin:/bin' },
    });
    if (result.error) {
      throw new Failure(
        Exit.unavailable,
        `usermod cannot be run (${result.error.message}); is it installed?`,
      );
    }
    if (result.status !== 0) {
      const words = result.stderr.trim().split('\n').join('; ');
      throw new Failure(Exit.unavailable, `usermod did not change ${printable(name)}: ${printable(words)}`);
    }
  }

  #leastUid(): number {
    try {
      const text = readFileSync(join(this.root, 'etc/login.defs'), 'utf8');
      return Number(/^\s*UID_MIN\s+(\d+)/m.exec(text)?.[1] ?? 1000);
    } catch {
      return 1000;
    }
  }
}

/** Lines that are no entries (NIS's +, comments, damage) are left out. */
function parsePasswd(text: string): Account[] {
  return text.split('\n').flatMap(line => {
    const [name, , uid, , , , shell] = line.split(':');
    if (!name || shell === undefined || !/^\d+$/.test(uid ?? '')) return [];
    return [{ name, uid: Number(uid), shell }];
  });
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw fromSystem(error, file);
  }
}

/**
 * Shells: what shells(5) lists, and the links `ttyspy-shell-NAME` beside ttyspy-shell, by which it knows the shell to
 * start after the hand-off: the first of this NAME in shells(5) (src/client/program.ts).
 */
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Exit, Failure, fromSystem, printable } from '../failure.ts';
import { replaceFile } from '../replace_file.ts';

const PACKAGED = '/usr/bin/ttyspy-shell';
const CHECKOUT = join(import.meta.dirname, '../../client/ttyspy-shell');
const LINK = /^ttyspy-shell(?:-([^/]+))?$/;

/** The name behind ttyspy-shell-NAME; '' for ttyspy-shell itself, null for any other shell. */
export function enrolledAs(shell: string): string | null {
  const match = LINK.exec(basename(shell));
  return match === null ? null : (match[1] ?? '');
}

export class Shells {
  readonly #root: string;
  /** Path of ttyspy-shell, as it is below the root. */
  readonly #recorder: string;
  readonly #file: string;
  #listed: readonly string[];
  /** What `list` added to shells(5). */
  readonly added: string[] = [];

  /**
   * @param recorder path of ttyspy-shell; default: the packages' where it is there, or the checkout's
   * @throws Failure when there is no ttyspy-shell, or one that not every user can run: enrolled users could not log in
   */
  constructor(root: string, recorder: string | undefined) {
    this.#root = root;
    this.#recorder = recorder ?? (root !== '/' || existsSync(PACKAGED) ? PACKAGED : CHECKOUT);
    this.#file = join(root, 'etc/shells');
    this.#listed = readLines(this.#file);
    this.#checkRecorder();
  }

  /** Whether the file is there and is a program. */
  isThere(shell: string): boolean {
    return isExecutable(join(this.#root, shell || '/bin/sh'));
  }

  /** What ttyspy-shell-NAME starts; null where no shell has that name. */
  byName(name: string): string | null {
    return (
      this.#listed.find(
        shell =>
          shell.startsWith('/') &&
          basename(shell) === name &&
          enrolledAs(shell) === null &&
          this.isThere(shell),
      ) ?? null
    );
  }

  /**
   * The link under which a user of `shell` is enrolled; nothing is made yet.
   * @throws Failure when its name would start another shell, or is taken
   */
  linkFor(shell: string): string {
    const own = shell || '/bin/sh';
    const name = basename(own);
    const starts = this.byName(name) ?? own;
    if (!this.#same(starts, own)) {
      throw new Failure(
        Exit.configuration,
        `${printable(own)} and ${printable(starts)} are both called ${printable(name)}, and ${this.#file} lists the ` +
          'other first; change their order there. No user was changed',
      );
    }
    const link = join(dirname(this.#recorder), `ttyspy-shell-${name}`);
    const there = lstatSync(join(this.#root, link), { throwIfNoEntry: false });
    if (there && !this.#isOurs(link)) {
      throw new Failure(
        Exit.cannotCreate,
        `${printable(link)} is there and is not a link to ttyspy-shell; remove it. No user was changed`,
      );
    }
    return link;
  }

  /** Makes the link, and what it starts listed, where they are not yet. */
  establish(shell: string, link: string): void {
    const own = shell || '/bin/sh';
    if (this.byName(basename(own)) === null) this.list(own);
    if (this.#isOurs(link)) return;
    try {
      symlinkSync(basename(this.#recorder), join(this.#root, link));
    } catch (error) {
      throw fromSystem(error, link);
    }
  }

  /** Adds a shell to shells(5) if it is missing. */
  list(shell: string): void {
    if (this.#listed.includes(shell)) return;
    this.#write([...this.#listed, shell]);
    this.added.push(shell);
  }

  /** Takes shells out of shells(5). */
  unlist(shells: readonly string[]): void {
    const listed = this.#listed.filter(line => !shells.includes(line));
    if (listed.length < this.#listed.length) this.#write(listed);
  }

  #write(listed: readonly string[]): void {
    replaceFile(this.#file, listed.map(line => `${line}\n`).join(''));
    this.#listed = listed;
  }

  #same(one: string, other: string): boolean {
    if (one === other) return true;
    try {
      return realpathSync(join(this.#root, one)) === realpathSync(join(this.#root, other));
    } catch {
      return false;
    }
  }

  #isOurs(link: string): boolean {
    try {
      return basename(readlinkSync(join(this.#root, link))) === basename(this.#recorder);
    } catch {
      return false;
    }
  }

  #checkRecorder(): void {
    const path = join(this.#root, this.#recorder);
    if (!this.#recorder.startsWith('/') || basename(this.#recorder) !== 'ttyspy-shell') {
      throw new Failure(Exit.usage, '--shell-path must be an absolute path that ends in /ttyspy-shell');
    }
    if (!isExecutable(path)) {
      throw new Failure(
        Exit.noInput,
        `${printable(path)} is not there or is no program; name it with --shell-path`,
      );
    }
    const real = realpathSync(path);
    for (let at = real; at !== '/'; at = dirname(at)) {
      if ((statSync(at).mode & 0o001) !== 0) continue;
      throw new Failure(
        Exit.noPermission,
        `${printable(at)} is closed to others (chmod o+x), so that users could not run ${printable(real)}`,
      );
    }
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Without the empty line at the end; none where there is no file. */
function readLines(file: string): string[] {
  if (!existsSync(file)) return [];
  try {
    return readFileSync(file, 'utf8').replace(/\n$/, '').split('\n');
  } catch (error) {
    throw fromSystem(error, file);
  }
}

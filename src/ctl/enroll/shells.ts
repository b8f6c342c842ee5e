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
   * The link under which a user of `shell` is enrolled; made where it is not there yet.
   * @throws Failure when a link of this name would start another shell
   */
  link(shell: string): string {
    const name = basename(shell || '/bin/sh');
    this.list(shell || '/bin/sh');
    const starts = this.byName(name);
    if (starts === null || !this.#same(starts, shell || '/bin/sh')) {
      throw new Failure(
        Exit.configuration,
        `${printable(shell)} and ${printable(starts ?? 'nothing')} are both called ${printable(name)}, and ` +
          `${this.#file} lists the other first; change their order there`,
      );
    }
    const link = join(dirname(this.#recorder), `ttyspy-shell-${name}`);
    this.#makeLink(join(this.#root, link));
    return link;
  }

  /** Adds a shell to shells(5) if it is missing. */
  list(shell: string): void {
    if (this.#listed.includes(shell)) return;
    const listed = [...this.#listed, shell];
    replaceFile(this.#file, `${listed.join('\n')}\n`);
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

  #makeLink(link: string): void {
    const target = basename(this.#recorder);
    try {
      const there = lstatSync(link, { throwIfNoEntry: false });
      if (there === undefined) symlinkSync(target, link);
      else if (!there.isSymbolicLink() || basename(readlinkSync(link)) !== target) {
        throw new Failure(
          Exit.cannotCreate,
          `${printable(link)} is there and is not a link to ${target}; remove it`,
        );
      }
    } catch (error) {
      throw fromSystem(error, link);
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

/**
 * The login shells that enrolled users had: /etc/ttyspy/enrolled, lines of `user:shell` as in passwd(5). The name in a
 * link tells which shell to start; this tells the very word that stood in passwd. A line without a user, `:shell`, is
 * of a shell that shells(5) did not list before.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromSystem } from '../failure.ts';
import { replaceFile } from '../replace_file.ts';

export class FormerShells {
  readonly #file: string;
  readonly #shells: Map<string, string>;
  #listed: readonly string[];

  constructor(root: string) {
    this.#file = join(root, 'etc/ttyspy/enrolled');
    const lines = read(this.#file);
    this.#shells = new Map(lines.filter(([user]) => user !== ''));
    this.#listed = lines.filter(([user]) => user === '').map(([, shell]) => shell);
  }

  of(user: string): string | undefined {
    return this.#shells.get(user);
  }

  remember(user: string, shell: string): void {
    this.#shells.set(user, shell);
    this.#write();
  }

  forget(user: string): void {
    if (this.#shells.delete(user)) this.#write();
  }

  /** Shells that were added to shells(5). */
  get listed(): readonly string[] {
    return this.#listed;
  }

  rememberListed(added: readonly string[]): void {
    if (added.length === 0) return;
    this.#listed = [...new Set([...this.#listed, ...added])];
    this.#write();
  }

  forgetListed(removed: readonly string[]): void {
    if (removed.length === 0) return;
    this.#listed = this.#listed.filter(shell => !removed.includes(shell));
    this.#write();
  }

  #write(): void {
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o755 });
    } catch (error) {
      throw fromSystem(error, dirname(this.#file));
    }
    const entries = [...this.#shells, ...this.#listed.map(shell => ['', shell])];
    const lines = entries.map(([user, shell]) => `${user}:${shell}\n`);
    replaceFile(
      this.#file,
      `# Login shells before ttyspyctl enroll; unenroll reads them.\n${lines.join('')}`,
    );
  }
}

function read(file: string): [user: string, shell: string][] {
  if (!existsSync(file)) return [];
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter(line => line.includes(':') && !line.startsWith('#'))
      .map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]);
  } catch (error) {
    throw fromSystem(error, file);
  }
}

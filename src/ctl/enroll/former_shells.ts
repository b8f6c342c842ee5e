/**
 * The login shells that enrolled users had: /etc/ttyspy/enrolled, lines of `user:shell` as in passwd(5). The name in a
 * link tells which shell to start; this tells the very word that stood in passwd.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromSystem } from '../failure.ts';
import { replaceFile } from '../replace_file.ts';

export class FormerShells {
  readonly #file: string;
  readonly #shells: Map<string, string>;

  constructor(root: string) {
    this.#file = join(root, 'etc/ttyspy/enrolled');
    this.#shells = new Map(read(this.#file));
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

  #write(): void {
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o755 });
    } catch (error) {
      throw fromSystem(error, dirname(this.#file));
    }
    const lines = [...this.#shells].map(([user, shell]) => `${user}:${shell}\n`);
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

/** Users made for one test and removed with it. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ENV } from './run.ts';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** What interactive shells of these users show when they are ready, in a form that no echo of a command has. */
export const PROMPT = 'ready$ ';

export class Accounts {
  readonly #homes: string;
  readonly #made: Account[] = [];

  /** @param homes an existing directory in which homes are made, that everybody can enter */
  constructor(homes: string) {
    this.#homes = homes;
  }

  /** Makes a user whose home has nothing but what sets the prompt. */
  add(shell: string, gecos = 'Made by a test,Room 0'): Account {
    const name = `tspy${process.pid.toString(36)}n${this.#made.length}`;
    const home = join(this.#homes, name);
    const options = ['--no-create-home', '--home-dir', home, '--shell', shell, '--comment', gecos];
    execFileSync('useradd', [...options, name], { env: ENV, stdio: 'pipe' });
    const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
    const account = { name, uid: id('-u'), gid: id('-g'), home, shell };
    this.#made.push(account);
    mkdirSync(home);
    chownSync(home, account.uid, account.gid);
    chmodSync(home, 0o755);
    this.write(account, '.bashrc', `PS1='${PROMPT}'\n`);
    this.write(account, '.bash_profile', '. ~/.bashrc\n');
    this.write(account, '.zshrc', `PS1='${PROMPT}'\nunsetopt prompt_sp zle\n`);
    return account;
  }

  /** Puts a file into a user's home. */
  write(account: Account, name: string, contents: string | Uint8Array): string {
    const path = join(account.home, name);
    writeFileSync(path, contents);
    chownSync(path, account.uid, account.gid);
    return path;
  }

  /** Takes every file out of a user's home. */
  empty(account: Account): void {
    for (const name of readdirSync(account.home)) rmSync(join(account.home, name), { recursive: true });
  }

  /** Ids of the processes that these users run. */
  processes(...accounts: readonly Account[]): number[] {
    const uids = new Set((accounts.length > 0 ? accounts : this.#made).map(account => account.uid));
    return readdirSync('/proc')
      .map(Number)
      .filter(pid => pid > 0 && uids.has(ownerOf(pid)));
  }

  /** Ends what they run, and removes them. Synchronous: it must work while the process exits. */
  remove(): void {
    for (let attempt = 0; attempt < 20 && this.processes().length > 0; attempt++) {
      for (const pid of this.processes()) kill(pid);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    for (const { name } of this.#made.splice(0)) {
      execFileSync('userdel', ['--force', name], { env: ENV, stdio: 'ignore' });
    }
  }
}

export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

/** Real uid of a process; -1 when it is gone or a zombie. */
function ownerOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    if (/^State:\s+[ZX]/m.test(status)) return -1;
    return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? statSync(`/proc/${pid}`).uid);
  } catch {
    return -1;
  }
}

/** A temporary directory and the processes started in it; nothing of either is left when the bench ends. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { chmodSync, globSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export class Scratch {
  readonly dir: string;
  /** The environment of everything that is started: small, the same for all, and naming the directory. */
  readonly env: Readonly<Record<string, string>>;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'ttyspy-bench-'));
    // ttyspyd drops to another user, who must get at its socket and spool in here.
    chmodSync(this.dir, 0o755);
    this.env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: process.env['HOME'] ?? '/',
      USER: process.env['USER'] ?? 'root',
      LANG: 'C.UTF-8',
      TERM: 'xterm-256color',
      SHELL: '/bin/sh',
      TTYSPY_BENCH: this.dir,
    };
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** A descriptor to append to a file of this name for what a daemon says; shown when the bench fails. */
  log(name: string): number {
    return openSync(this.path(`${name}.log`), 'a');
  }

  /** The last lines of all logs. */
  lastWords(): string {
    return globSync(this.path('*.log'))
      .flatMap(file => readFileSync(file, 'utf8').trimEnd().split('\n').slice(-5))
      .filter(line => line !== '')
      .join('\n');
  }

  start(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn(argv[0] as string, argv.slice(1), { env: this.env, cwd: this.dir, ...options });
  }

  /** Ends everything that was started here, politely and then not, and removes the directory. */
  async close(): Promise<void> {
    for (const signal of ['SIGTERM', 'SIGTERM', 'SIGKILL', 'SIGKILL'] as const) {
      this.#signalAll(signal);
      for (let i = 0; i < 20 && this.#processes().length > 0; i++) await sleep(50);
    }
    this.#remove();
  }

  /** The same at once, for the end of a process that can wait no longer. */
  closeNow(): void {
    this.#signalAll('SIGKILL');
    this.#remove();
  }

  #remove(): void {
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #signalAll(signal: NodeJS.Signals): void {
    for (const pid of this.#processes()) {
      try {
        process.kill(pid, signal);
      } catch {
        // It ended meanwhile.
      }
    }
  }

  /** Processes that carry the directory's random name: in the environment, or, where sudo cleared that, as an argument. */
  #processes(): number[] {
    return readdirSync('/proc')
      .map(Number)
      .filter(pid => pid > 0 && pid !== process.pid && this.#isOurs(pid));
  }

  #isOurs(pid: number): boolean {
    return ['environ', 'cmdline'].some(file => {
      try {
        return readFileSync(`/proc/${pid}/${file}`).includes(this.dir);
      } catch {
        return false;
      }
    });
  }
}

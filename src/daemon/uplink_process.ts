/** Without systemd ttyspyd starts the uplink itself, as a child. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Log } from '../os/log.ts';

const LAUNCHER = fileURLToPath(new URL('../uplink/ttyspy-uplink', import.meta.url));
const MIN_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 60_000;

/** Keeps an uplink running. It ends when its standard input does, so it never outlives its parent. */
export class UplinkProcess {
  readonly #args: readonly string[];
  readonly #log: Log;
  #child: ChildProcess | null = null;
  #pause = MIN_PAUSE_MS;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(configFile: string | undefined, log: Log) {
    this.#args = [...(configFile === undefined ? [] : ['-c', configFile]), '--child'];
    this.#log = log;
    this.#start();
  }

  /** Resolves when it has ended. */
  stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    const child = this.#child;
    if (!child) return Promise.resolve();
    child.stdin?.end();
    return new Promise(resolve => child.once('close', () => resolve()));
  }

  #start(): void {
    const began = Date.now();
    const child = spawn(LAUNCHER, this.#args, { stdio: ['pipe', 'inherit', 'inherit'] });
    this.#child = child;
    child.stdin?.on('error', () => {}); // EPIPE: its end is told by close.
    child.on('error', error => this.#log.error({ error: error.message }, 'the uplink does not start'));
    child.on('close', (status, signal) => {
      this.#child = null;
      if (this.#stopped) return;
      this.#pause =
        Date.now() - began > MAX_PAUSE_MS ? MIN_PAUSE_MS : Math.min(2 * this.#pause, MAX_PAUSE_MS);
      this.#log.error(
        { status, signal, retry_ms: this.#pause },
        'the uplink ended; the spool keeps everything meanwhile',
      );
      this.#timer = setTimeout(() => this.#start(), this.#pause);
    });
  }
}

/** A user at a terminal: a program on a pty of its own, what it shows, and what is typed. */
import { execFileSync } from 'node:child_process';
import { native } from '../../../src/os/native.ts';
import { type PtyProcess, spawnOnPty } from '../../../src/os/pty.ts';
import { PROMPT } from './accounts.ts';
import { ENV } from './run.ts';

/** Longest that a user waits for what must come, milliseconds. */
const PATIENCE = 30_000;

export class Terminal {
  readonly pid: number;
  readonly #pty: PtyProcess;
  readonly #shown: Buffer[] = [];
  #text = '';
  /** Where `until` looks on. */
  #seen = 0;
  #hungUp = false;
  #typed: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  /** @param env of the program; nothing else is in it */
  constructor(argv: readonly string[], { env = ENV, rows = 24, columns = 80 } = {}) {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    this.#pty = spawnOnPty('/usr/bin/env', ['-i', ...variables, ...argv], columns, rows);
    this.pid = this.#pty.pid;
    this.#pty.master.listen({ readable: () => this.#readable(), writable: () => this.#writable() });
    this.#pty.master.wantRead(true);
  }

  /** Everything it showed so far. */
  get shown(): Buffer {
    return Buffer.concat(this.#shown);
  }

  type(text: string | Uint8Array): void {
    this.#typed = Buffer.concat([this.#typed, Buffer.from(text as Uint8Array)]);
    this.#writable();
  }

  /** Types a command line, waits for the next prompt, and gives what came before it, the echo included. */
  run(line: string): Promise<string> {
    this.type(`${line}\r`);
    return this.until(PROMPT);
  }

  /**
   * Waits until it shows a text that it has not been asked for yet.
   * @returns what came before that text, as latin1
   * @throws Error when it does not come, with what came instead
   */
  async until(text: string | RegExp): Promise<string> {
    const limit = performance.now() + PATIENCE;
    for (;;) {
      const found = this.#find(text);
      if (found) {
        const before = this.#text.slice(this.#seen, found.at);
        this.#seen = found.end;
        return before;
      }
      const left = limit - performance.now();
      if (left <= 0 || this.#hungUp) {
        const problem = this.#hungUp ? 'hung up' : 'waited in vain';
        throw new Error(`${problem} before ${text}; last: ${JSON.stringify(this.#text.slice(-400))}`);
      }
      await this.#more(left);
    }
  }

  /** Waits until it hangs up and the program ended. */
  async ended(): Promise<{ status: number; signal: number }> {
    const limit = performance.now() + PATIENCE;
    while (!this.#hungUp) {
      if (performance.now() > limit) throw new Error(`does not end; last: ${this.#text.slice(-400)}`);
      await this.#more(1_000);
    }
    return this.#pty.exited;
  }

  /** The user pulls at the window's corner. */
  resize(rows: number, columns: number): void {
    const tty = `/dev/pts/${native.ptyNumber(this.#pty.master.fd)}`;
    execFileSync('stty', ['-F', tty, 'rows', String(rows), 'cols', String(columns)]);
  }

  /** The window is closed. */
  close(): void {
    this.#hungUp = true;
    if (!this.#pty.master.closed) this.#pty.master.close();
  }

  #find(text: string | RegExp): { at: number; end: number } | null {
    if (typeof text === 'string') {
      const at = this.#text.indexOf(text, this.#seen);
      return at < 0 ? null : { at, end: at + text.length };
    }
    const match = new RegExp(text.source, `${text.flags}g`);
    match.lastIndex = this.#seen;
    const found = match.exec(this.#text);
    return found && { at: found.index, end: found.index + found[0].length };
  }

  #more(milliseconds: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #readable(): void {
    const buffer = Buffer.allocUnsafe(65_536);
    let length: number;
    try {
      length = this.#pty.master.read(buffer, 0, buffer.length);
    } catch {
      length = 0; // EIO: nobody has the other side open any more.
    }
    if (length < 0) return;
    if (length === 0) {
      this.close();
    } else {
      this.#shown.push(buffer.subarray(0, length));
      this.#text += buffer.toString('latin1', 0, length);
    }
    this.#wake();
  }

  #writable(): void {
    const { master } = this.#pty;
    if (master.closed) return;
    try {
      this.#typed = this.#typed.subarray(master.write(this.#typed, 0, this.#typed.length));
    } catch {
      this.#typed = Buffer.alloc(0);
    }
    master.wantWrite(this.#typed.length > 0);
  }
}

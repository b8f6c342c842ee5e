/** The measuring user (drive.c): built into the scratch directory, started, its results read. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Contender } from './contender.ts';
import type { Scratch } from './scratch.ts';

/** Longest that one measurement may take before it counts as hung, milliseconds. */
const HUNG = 120_000;

/** Nanoseconds from the spawn; CPU time in microseconds, of the session's leader and all it waited for. */
export interface BulkResult {
  readonly bytes: number;
  readonly first: number;
  readonly end: number;
  readonly user: number;
  readonly system: number;
  /** SHA-256, hex, of the first `size` bytes shown (tlog adds a line feed at its end); null where not asked for. */
  readonly sha256: string | null;
  /** performance.now() when the end was reported. */
  readonly ended: number;
}

export interface SpawnResult {
  readonly first: number;
  readonly user: number;
  readonly system: number;
}

export class Driver {
  readonly #scratch: Scratch;
  readonly #drive: string;
  readonly #payload: string;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
    this.#drive = scratch.path('drive');
    this.#payload = scratch.path('payload');
    compile(this.#drive, ['drive.c', 'session.c']);
    compile(this.#payload, ['payload.c']);
  }

  /** Shows a file of `size` bytes. */
  async bulk(contender: Contender, file: string, size: number, hashed: boolean): Promise<BulkResult> {
    const child = this.#start(contender, ['bulk', String(size)], [this.#payload, 'cat', file], hashed);
    const hash = createHash('sha256');
    let left = size;
    if (hashed) {
      (child.stdout as Readable).on('data', (piece: Buffer) => {
        hash.update(piece.subarray(0, left));
        left = Math.max(0, left - piece.length);
      });
    }
    let ended = 0;
    const result = await this.#result(contender, child, () => {
      ended = performance.now();
    });
    return { ...(result as BulkResult), sha256: hashed ? hash.digest('hex') : null, ended };
  }

  /** @returns round trips in nanoseconds, in the order they were made */
  async echo(contender: Contender, count: number, seed: number): Promise<number[]> {
    const child = this.#start(contender, ['echo', String(count), String(seed)], [this.#payload, 'echo']);
    return ((await this.#result(contender, child)) as { times: number[] }).times;
  }

  async spawn(contender: Contender): Promise<SpawnResult> {
    const child = this.#start(contender, ['spawn'], ['/bin/sh', '-c', 'echo ready']);
    return (await this.#result(contender, child)) as SpawnResult;
  }

  hold(contender: Contender): Held {
    const child = this.#start(contender, ['hold'], [this.#payload, 'hold'], false, true);
    return new Held(contender.name, child);
  }

  #start(contender: Contender, mode: string[], payload: string[], stdout = false, stdin = false) {
    const argv = contender.around([this.#drive, ...mode, ...contender.command(payload)]);
    const stdio = [stdin ? 'pipe' : 'ignore', stdout ? 'pipe' : 'ignore', 'inherit', 'pipe'] as const;
    return this.#scratch.start(argv, { stdio: [...stdio] });
  }

  async #result(
    contender: Contender,
    child: ReturnType<Scratch['start']>,
    onResult = () => {},
  ): Promise<unknown> {
    const timer = setTimeout(() => child.kill('SIGKILL'), HUNG);
    const pieces: Buffer[] = [];
    (child.stdio[3] as Readable).on('data', piece => {
      onResult();
      pieces.push(piece);
    });
    const [code, signal] = await once(child, 'close');
    clearTimeout(timer);
    if (code !== 0)
      throw new Error(`${contender.name}: the measurement failed (${signal ?? `exit ${code}`})`);
    return JSON.parse(Buffer.concat(pieces).toString());
  }
}

/** Sessions that are kept open. */
export class Held {
  readonly #name: string;
  readonly #child: ReturnType<Scratch['start']>;
  readonly #lines: AsyncIterator<string>;

  constructor(name: string, child: ReturnType<Scratch['start']>) {
    this.#name = name;
    this.#child = child;
    this.#lines = createInterface({ input: child.stdio[3] as Readable })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Opens sessions until there are `count`. */
  async grow(count: number): Promise<void> {
    (this.#child.stdin as Writable).write(`${count}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#name}: could not open ${count} sessions`);
    if (JSON.parse(value).open !== count) throw new Error(`${this.#name}: opened ${value} for ${count}`);
  }

  async end(): Promise<void> {
    const closed = once(this.#child, 'close');
    (this.#child.stdin as Writable).end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), HUNG);
    await closed;
    clearTimeout(timer);
  }
}

function compile(program: string, sources: string[]): void {
  const files = sources.map(name => new URL(name, import.meta.url).pathname);
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, ...files], { stdio: 'inherit' });
}

/** The real ttyspyd in a process of its own, with a configuration and a spool made for one test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRoot, self } from './account.ts';
import { ENV } from './child.ts';
import { openDescriptors } from './descriptors.ts';
import { readSpoolFile, type SpooledSession } from './spooled_session.ts';

export const TTYSPYD = join(import.meta.dirname, '../../src/daemon/ttyspyd');

/** Where no archive listens: what is recorded stays in the spool. */
const NO_ARCHIVE = 'https://127.0.0.1:1/';

export interface LogEntry {
  readonly name?: string;
  readonly msg: string;
  readonly [member: string]: unknown;
}

export class DaemonRig {
  readonly directory: string;
  readonly log: LogEntry[] = [];
  child!: ChildProcess;

  /** @param lines of ttyspy.conf, beside and instead of those that the rig needs itself */
  constructor(lines: readonly string[] = []) {
    this.directory = mkdtempSync(join(tmpdir(), 'ttyspy-daemon-'));
    // The account that ttyspyd becomes must get in here.
    chmodSync(this.directory, 0o755);
    this.configure(lines);
  }

  static async start(lines: readonly string[] = []): Promise<DaemonRig> {
    const rig = new DaemonRig(lines);
    await rig.run();
    return rig;
  }

  get conf(): string {
    return this.path('ttyspy.conf');
  }

  get socket(): string {
    return this.path('socket');
  }

  get spool(): string {
    return this.path('spool');
  }

  get pid(): number {
    return this.child.pid as number;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  configure(lines: readonly string[]): void {
    const needed = [
      `username ${isRoot ? 'daemon' : self.name}`,
      `socket ${this.socket}`,
      `endpoint ${NO_ARCHIVE}`,
      `spool_path ${this.spool}`,
      'hostname vm',
    ];
    const missing = needed.filter(line => !lines.some(own => own.split(' ')[0] === line.split(' ')[0]));
    writeFileSync(this.conf, `${[...missing, ...lines].join('\n')}\n`);
  }

  /**
   * Starts the program and waits until it is ready.
   * @param fds for descriptors 3 and up
   * @param shell runs before it in the same process, such as `ulimit -n 100`
   */
  async run(shell = ':', fds: readonly number[] = []): Promise<void> {
    if (!(await this.attempt(shell, fds))) throw new Error(`ttyspyd ended: ${JSON.stringify(this.log)}`);
  }

  /** As run. @returns false when it ended instead */
  async attempt(shell = ':', fds: readonly number[] = []): Promise<boolean> {
    this.child = spawn('/bin/sh', ['-c', `${shell}; exec "$0" "$@"`, TTYSPYD, '-c', this.conf], {
      stdio: ['ignore', 'inherit', 'pipe', ...fds],
      env: ENV,
    });
    const settled = Promise.withResolvers<boolean>();
    this.log.length = 0;
    createInterface({ input: this.child.stderr as NodeJS.ReadableStream }).on('line', line => {
      const entry: LogEntry = line.startsWith('{') ? JSON.parse(line) : { msg: line };
      this.log.push(entry);
      if (entry.name === 'ttyspyd' && entry.msg === 'ready') settled.resolve(true);
    });
    this.child.once('close', () => settled.resolve(false));
    return settled.promise;
  }

  /** Lines of ttyspyd's own log with this message; its uplink writes into the same. */
  logged(msg: string): LogEntry[] {
    return this.log.filter(entry => entry.name === 'ttyspyd' && entry.msg === msg);
  }

  /** Whether it runs. */
  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** CPU time so far, seconds (proc(5), stat). */
  get cpu(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Descriptors it has open. Only root may look: it is not dumpable. */
  get descriptors(): number {
    return openDescriptors(this.pid);
  }

  spooled(suffix: 'live' | 'done'): string[] {
    if (!existsSync(this.spool)) return [];
    return readdirSync(this.spool).filter(name => name.endsWith(`.${suffix}`));
  }

  /** A session as it stands in the spool, live or done. */
  session(id: string): SpooledSession {
    const done = join(this.spool, `${id}.done`);
    return readSpoolFile(existsSync(done) ? done : join(this.spool, `${id}.live`));
  }

  /** Waits for the end of a session's record. */
  async ended(id: string): Promise<SpooledSession> {
    await until(() => existsSync(join(this.spool, `${id}.done`)) || !this.alive);
    return this.session(id);
  }

  /** Ends the program with a signal. @returns its exit status */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.alive) return this.child.exitCode;
    this.child.kill(signal);
    const [code] = await once(this.child, 'exit');
    return code;
  }

  async end(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

/** The recorders that Debian ships, each as its users run it, writing to files. And no recorder at all. */
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { type Contender, findProgram, shellQuoted, withMounts } from './contender.ts';
import type { Scratch } from './scratch.ts';

/** What contenders without daemons have in common: a directory of records. */
abstract class FileRecorder implements Contender {
  abstract readonly name: string;
  protected readonly scratch: Scratch;

  constructor(scratch: Scratch) {
    this.scratch = scratch;
  }

  abstract command(payload: readonly string[]): string[];
  protected abstract recordedOutput(): Buffer;

  missing(): string | null {
    return null;
  }

  async start(): Promise<void> {
    mkdirSync(this.records(), { recursive: true });
  }

  async stop(): Promise<void> {}

  daemons(): number[] {
    return [];
  }

  host(): number[] {
    return [];
  }

  around(drive: readonly string[]): string[] {
    return [...drive];
  }

  async settle(): Promise<void> {}

  async recordedSha256(): Promise<string> {
    return createHash('sha256').update(this.recordedOutput()).digest('hex');
  }

  forget(): void {
    rmSync(this.records(), { recursive: true, force: true });
    mkdirSync(this.records(), { recursive: true });
  }

  protected records(...names: string[]): string {
    return this.scratch.path(this.name, ...names);
  }
}

/** The command on the pty itself: what the terminal can do, and what the session costs without a recorder. */
export class Bare extends FileRecorder {
  override readonly name = 'bare';

  override command(payload: readonly string[]): string[] {
    return [...payload];
  }

  protected override recordedOutput(): Buffer {
    return Buffer.alloc(0);
  }
}

/** script(1) of util-linux, buffered as it is without -f, with timing. */
export class Script extends FileRecorder {
  override readonly name = 'script';

  override missing(): string | null {
    return findProgram('script') ? null : 'script is not installed (Debian: bsdutils)';
  }

  override command(payload: readonly string[]): string[] {
    const program = findProgram('script') as string;
    const command = `exec ${payload.map(shellQuoted).join(' ')}`;
    return [program, '-q', '-c', command, '-T', this.records('{}.timing'), '-O', this.records('{}.log')];
  }

  protected override recordedOutput(): Buffer {
    const log = readFileSync(globSync(this.records('*.log'))[0] as string);
    return log.subarray(log.indexOf('\n') + 1, log.lastIndexOf('\nScript done on '));
  }
}

/** tlog-rec(8) with its defaults, to a file. */
export class Tlog extends FileRecorder {
  override readonly name = 'tlog';

  override missing(): string | null {
    if (!findProgram('tlog-rec')) return 'tlog-rec is not installed (Debian: tlog)';
    if (existsSync('/run/utmp') || process.getuid?.() === 0) return null;
    return 'tlog-rec needs /run/utmp, which is not there; as root the bench makes one for it alone';
  }

  override command(payload: readonly string[]): string[] {
    const program = findProgram('tlog-rec') as string;
    return [program, '--writer=file', `--file-path=${this.records('{}.json')}`, ...payload];
  }

  override around(drive: readonly string[]): string[] {
    if (existsSync('/run/utmp')) return [...drive];
    return withMounts('mount -t tmpfs none /run && : >/run/utmp', drive);
  }

  protected override recordedOutput(): Buffer {
    const lines = readFileSync(globSync(this.records('*.json'))[0] as string, 'utf8').split('\n');
    return Buffer.from(lines.map(line => (line ? JSON.parse(line).out_txt : '')).join(''));
  }
}

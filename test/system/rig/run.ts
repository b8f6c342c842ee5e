/** Runs a program to its end, with bytes in and bytes out. */
import { type SpawnOptions, spawn } from 'node:child_process';

export interface Ran {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface RunOptions extends SpawnOptions {
  /** All of standard input. Default: nothing, at once at its end. */
  readonly input?: Uint8Array | string;
}

/** What everything is started with: nothing of the test runner's own environment. */
export const ENV: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  TERM: 'xterm-256color',
};

/** Longest anything here may take, milliseconds: a test must end, even one that found a deadlock. */
const PATIENCE = 90_000;

export function run(argv: readonly string[], { input, ...options }: RunOptions = {}): Promise<Ran> {
  const child = spawn(argv[0] as string, argv.slice(1), {
    env: ENV,
    stdio: 'pipe',
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
    ...options,
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (bytes: Buffer) => stdout.push(bytes));
  child.stderr?.on('data', (bytes: Buffer) => stderr.push(bytes));
  child.stdin?.on('error', () => {}); // EPIPE: it did not want all of it.
  child.stdin?.end(input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) =>
      resolve({ status, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }),
    );
  });
}

/** As run, where anything but success is the rig's own failure. */
export async function must(argv: readonly string[], options?: RunOptions): Promise<string> {
  const { status, signal, stdout, stderr } = await run(argv, options);
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${signal ?? status}: ${stderr}${stdout}`);
  return stdout.toString();
}

/** Waits until `look` gives something, asking often. @throws Error after half a minute */
export async function until<T>(what: string, look: () => T | null | undefined | false): Promise<T> {
  const limit = performance.now() + PATIENCE / 3;
  for (;;) {
    const found = look();
    if (found) return found;
    if (performance.now() > limit) throw new Error(`in vain: ${what}`);
    await new Promise(next => setTimeout(next, 20));
  }
}

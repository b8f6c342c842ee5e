/** A process on a pty of its own, by node-pty. */
import { createRequire } from 'node:module';
import { Descriptor } from './descriptor.ts';

interface Fork {
  readonly fd: number;
  readonly pid: number;
}

interface NodePty {
  readonly native: {
    fork(
      file: string,
      args: readonly string[],
      env: readonly string[],
      cwd: string,
      columns: number,
      rows: number,
      uid: number,
      gid: number,
      utf8: boolean,
      helper: string,
      exited: (status: number, signal: number) => void,
    ): Fork;
  };
}

export interface PtyProcess {
  readonly pid: number;
  /** The pty's master. */
  readonly master: Descriptor;
  /** Status and signal, once it ended. Output may still wait in the master. */
  readonly exited: Promise<{ status: number; signal: number }>;
}

/**
 * Starts a program as the leader of a session on a new pty.
 *
 * node-pty's own stream is not used: it loses the last output when the process ends first (seen in 2 of 7 runs). The
 * master is read to its end (EIO) here instead.
 */
export function spawnOnPty(file: string, args: readonly string[], columns: number, rows: number): PtyProcess {
  const { native: pty } = createRequire(import.meta.url)('node-pty') as NodePty;
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  let fork: Fork | undefined;
  const exited = new Promise<{ status: number; signal: number }>(resolve => {
    fork = pty.fork(file, args, env, process.cwd(), columns, rows, -1, -1, true, '', (status, signal) =>
      resolve({ status, signal }),
    );
  });
  const { fd, pid } = fork as Fork;
  return { pid, master: new Descriptor(fd), exited };
}

/**
 * Started by hand, ttyspy cannot give its terminal away: the interactive shell that started it leads the session. Then
 * it is script(1): it starts itself on a pty of node-pty, where it leads a session and hands over, and copies between
 * the real terminal and that pty. Files and devices as standard descriptors are copied likewise, through pipes.
 */
import { type StdioPipe, spawn } from 'node:child_process';
import { fstatSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import type { Descriptor } from '../os/descriptor.ts';
import { errorCode, native } from '../os/native.ts';

/** @returns the exit status to leave with: the shell's, or 128 more than the signal that ended it */
export async function copyByHand(): Promise<number> {
  return isatty(0) && isatty(1) ? copyTerminal() : copyStreams();
}

/** Itself once more, as it was called. The environment still has what the launcher told. */
function itself(): [file: string, args: string[]] {
  return [process.execPath, [...process.execArgv, ...process.argv.slice(1)]];
}

async function copyTerminal(): Promise<number> {
  const { spawnOnPty } = await import('../os/pty.ts');
  const settings = native.getTermios(0);
  const size = native.getWindowSize(0);
  const pty = spawnOnPty(...itself(), size & 0xffff || 80, size >>> 16 || 24);
  native.setTermios(pty.master.fd, settings);
  native.makeRaw(0);
  const restore = () => native.setTermios(0, settings);
  process.on('exit', restore);
  process.on('SIGWINCH', () => native.copyWindowSize(0, pty.master.fd));
  copyInput(pty.master);
  const [{ status, signal }] = await Promise.all([pty.exited, copyOutput(pty.master)]);
  process.stdin.destroy();
  restore();
  return signal ? 128 + signal : status;
}

/** From the pty to the terminal, until the pty hangs up. */
function copyOutput(master: Descriptor): Promise<void> {
  const buffer = Buffer.allocUnsafe(65_536);
  return new Promise(resolve => {
    const readable = () => {
      let length: number;
      try {
        length = master.read(buffer, 0, buffer.length);
      } catch {
        length = 0; // EIO: the last one who had the other side open is gone.
      }
      if (length > 0) show(buffer.subarray(0, length));
      if (length !== 0) return;
      master.wantRead(false);
      resolve();
    };
    master.listen({ readable, writable: () => writable(master) });
    master.wantRead(true);
  });
}

/** The terminal may be non-blocking by somebody else's doing. */
function show(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

let waiting: Buffer = Buffer.alloc(0);

/** From the terminal to the pty. A terminal that is gone closes the pty, which hangs the session up. */
function copyInput(master: Descriptor): void {
  process.stdin.on('data', (bytes: Buffer) => {
    waiting = Buffer.concat([waiting, bytes]);
    process.stdin.pause();
    writable(master);
  });
  const gone = () => {
    if (!master.closed) master.close();
    process.exit(128 + constants.signals.SIGHUP);
  };
  process.stdin.on('end', gone);
  process.stdin.on('error', gone);
  process.on('SIGHUP', gone);
  process.on('SIGTERM', gone);
}

function writable(master: Descriptor): void {
  try {
    waiting = waiting.subarray(master.write(waiting, 0, waiting.length));
  } catch {
    waiting = Buffer.alloc(0); // The session is over; its output says so.
  }
  master.wantWrite(waiting.length > 0);
  if (waiting.length === 0) process.stdin.resume();
}

/** Pipes and sockets go on as they are; only what ttyspyd could not wait for is copied. */
function copyStreams(): Promise<number> {
  const streams = [0, 1, 2].map(fd => {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket() ? 'inherit' : 'pipe';
  }) as StdioPipe[];
  const [file, args] = itself();
  const child = spawn(file, args, { stdio: streams });
  if (child.stdin) {
    process.stdin.pipe(child.stdin);
    child.stdin.on('error', () => process.stdin.destroy()); // EPIPE: it does not read on.
  }
  child.stdout?.pipe(process.stdout);
  child.stderr?.pipe(process.stderr);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      process.stdin.destroy();
      resolve(status ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
}

/**
 * Puts away what a rig left whose test could not do so itself (SIGKILL, as test runners send at their limit). Started with
 * the rig, it waits for the end of its standard input, which the test holds. What belongs to the rig tells by the name
 * of its directory, which is random.
 *
 *     node janitor.ts DIRECTORY
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';

const directory = process.argv[2] ?? '';

interface User {
  readonly name: string;
  readonly uid: number;
}

/** Users whose home is in the directory. */
function users(): User[] {
  const entries = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'));
  return entries
    .filter(fields => fields[5]?.startsWith(`${directory}/`))
    .map(([name = '', , uid]) => ({ name, uid: Number(uid) }));
}

/** Processes of these users, and those that have the directory in their command line. */
function processes(uids: ReadonlySet<number>): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(pid => pid > 0 && pid !== process.pid)
    .filter(pid => {
      try {
        const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
        return uids.has(uid) || readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`${directory}/`);
      } catch {
        return false; // It ended meanwhile.
      }
    });
}

function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    process.stderr.write(`janitor: ${String(error)}\n`);
  }
}

function tidyUp(): void {
  const made = users();
  const uids = new Set(made.map(user => user.uid));
  const ours = processes(uids);
  // The log that failure.test.ts listens on is its own only if it was one of these that did.
  const log = ours.some(pid => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('/dev/log'));
  for (const pid of ours) attempt(() => process.kill(pid, 'SIGKILL'));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  if (log && lstatSync('/dev/log', { throwIfNoEntry: false })?.isSocket()) attempt(() => rmSync('/dev/log'));
  for (const { name } of made) attempt(() => execFileSync('userdel', ['--force', name], { stdio: 'ignore' }));
  if (existsSync(`${directory}/checkout/package.json`)) {
    attempt(() => execFileSync('umount', ['--lazy', `${directory}/checkout`]));
  }
  if (!existsSync(`${directory}/checkout/package.json`)) {
    attempt(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  }
}

if (!/\/ttyspy-system-\w{6}$/.test(directory)) {
  process.stderr.write('usage: janitor.ts DIRECTORY, of a rig\n');
  process.exit(64);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.stdin.on('end', () => {
  if (existsSync(directory)) tidyUp();
});
process.stdin.resume();

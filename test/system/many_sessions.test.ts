/** Two hundred sessions at once through one ttyspyd: every byte of each, and no waiting for one another. */
import { spawn } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { descendants, footprint } from '../bench/processes.ts';
import { type Account, kill } from './rig/accounts.ts';
import { sha256 } from './rig/archive.ts';
import { find } from './rig/needs.ts';
import { Rig } from './rig/rig.ts';
import { until } from './rig/run.ts';
import { Terminal } from './rig/terminal.ts';

const SESSIONS = 200;
/** Each with a quarter of them: the limit is 64 a user. */
const USERS = 4;
const TYPED_LINES = 5;
/** Each starts a Node for a moment: more at once would wait for the processors, not for ttyspyd. */
const LOGINS_AT_ONCE = 20;

const perl = find('perl');
if (perl === null) {
  t.plan(0, 'needs perl');
  process.exit(0);
}
const rig = await Rig.start();
const users = Array.from({ length: USERS }, () => rig.accounts.add('/bin/bash'));

/**
 * Prints a file in pieces with pauses, as it is, while the terminal echoes what is typed; then says which lines it
 * read. The file's bytes have their high bit set and nothing else has, so that the two can be told apart.
 *
 * It waits before it says so: Linux drops the echo of a line typed while the terminal's output queue is full, if the
 * program writes once more and exits before there is room (on a bare pty, too: in 15 of 20 attempts).
 */
const program = rig.path('program.pl');
writeFileSync(
  program,
  `use strict;
my ($file, $seed) = @ARGV;
system('stty', '-opost');
open(my $in, '<:raw', $file) or die;
my $data = do { local $/; <$in> };
binmode(STDOUT);
$| = 1;
print "ready\\n";
<STDIN>;
srand($seed);
for (my $at = 0; $at < length $data;) {
  $at += syswrite(STDOUT, substr($data, $at, 1 + int(rand(4096)))) // die;
  select(undef, undef, undef, rand(0.03));
}
my @lines = map { scalar <STDIN> } 1 .. ${TYPED_LINES};
select(undef, undef, undef, 0.3);
print "read ", @lines;
exit($seed % 100);
`,
);

/** The client as a user's, on the terminal that this is started on, which becomes the user's as sshd would make it. */
const start = rig.path('start.sh');
writeFileSync(
  start,
  `user=$1; shift
chown "$user" "$(tty)"
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups ${rig.client('ttyspy.conf')} "$@"
`,
);

/** Known bytes that look random, all with the high bit set. */
function stream(seed: number): Buffer {
  const key = createHash('sha256').update(`session ${seed}`).digest();
  const size = 100_000 + (key.readUInt32BE(0) % 200_000);
  const bytes = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
  return bytes.map(byte => byte | 0x80) as Buffer;
}

function live(): number {
  return readdirSync(rig.path('spool')).filter(name => name.endsWith('.live')).length;
}

function daemons(): number[] {
  return [rig.pid('ttyspyd'), ...descendants(rig.pid('ttyspyd'))];
}

interface LogLine {
  readonly name: string;
  readonly level: number;
  readonly msg: string;
  readonly session?: string;
  readonly reason?: string;
  readonly status?: number;
  readonly bytes?: { readonly output: number };
}

function daemonLog(): LogLine[] {
  const lines = rig.log('ttyspyd').split('\n').filter(Boolean);
  return lines.map(line => JSON.parse(line) as LogLine);
}

interface Running {
  readonly seed: number;
  readonly user: Account;
  readonly terminal: Terminal;
  readonly lines: readonly string[];
  readonly data: Buffer;
}

function begin(seed: number): Running {
  const user = users[seed % USERS] as Account;
  const data = stream(seed);
  const file = rig.path('streams', String(seed));
  writeFileSync(file, data);
  const lines = Array.from({ length: TYPED_LINES }, (_, i) => `typed ${i} in ${seed}`);
  const argv = ['sh', start, user.name, perl as string, program, file, String(seed)];
  return { seed, user, terminal: new Terminal(argv), lines, data };
}

/** Sets it going and types its lines while it prints. */
async function drive({ seed, terminal, lines }: Running): Promise<void> {
  terminal.type('go\r');
  for (const [i, line] of lines.entries()) {
    await sleep(100 + ((seed * 37 + i * 101) % 300));
    terminal.type(`${line}\r`);
  }
  await terminal.ended();
}

t.test(`${SESSIONS} sessions at once`, async t => {
  mkdirSync(rig.path('streams'));
  const before = rig.archive.ids();
  const idle = footprint(daemons());
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
  const running: Running[] = [];
  while (running.length < SESSIONS) {
    const wave = Array.from({ length: LOGINS_AT_ONCE }, (_, i) => begin(running.length + i));
    await Promise.all(wave.map(({ terminal }) => terminal.until('ready\n')));
    running.push(...wave);
  }
  t.comment(`all in after ${seconds()} s`);
  t.equal(live(), SESSIONS, 'all of them live');
  t.comment(`${Math.round((footprint(daemons()) - idle) / SESSIONS)} KiB of ttyspyd and uplink for each`);
  await Promise.all(running.map(drive));
  t.comment(`all over after ${seconds()} s`);

  const ids = [...rig.archive.ids()].filter(id => !before.has(id));
  t.equal(ids.length, SESSIONS);
  const archived = await Promise.all(ids.map(id => rig.archive.complete(id)));
  t.comment(`all in the archive after ${seconds()} s`);
  const bySeed = new Map(archived.map(session => [Number(session.manifest.claims.argv?.at(-1)), session]));
  const wrong: string[] = [];
  for (const { seed, user, terminal, lines, data } of running) {
    const session = bySeed.get(seed);
    const { shown } = terminal;
    const text = shown.filter(byte => byte < 0x80) as Buffer;
    const typed = lines.map(line => `${line}\n`).join('');
    const expected = `ready\ngo\n${typed}read ${typed}`;
    const checks = {
      'user and archive are the same': sha256(shown) === sha256(session?.output ?? Buffer.alloc(0)),
      'the stream is whole': sha256(shown.filter(byte => byte >= 0x80)) === sha256(data),
      'so is what was typed': text.toString() === expected,
      'its end': session?.manifest.end.reason === 'exit' && session.manifest.end.status === seed % 100,
      'its user': session?.manifest.username === user.name,
    };
    for (const [name, good] of Object.entries(checks))
      if (!good) wrong.push(`${seed}: ${name}; text ${text}`);
  }
  t.same(wrong, []);

  const log = daemonLog();
  t.same(
    log.filter(line => line.level > 30),
    [],
    'no warning',
  );
  const logged = (msg: string) => new Set(log.flatMap(line => (line.msg === msg ? [line.session] : [])));
  t.same(logged('session started'), new Set(ids));
  t.same(logged('session ended'), new Set(ids));
  const total = running.reduce((sum, { terminal }) => sum + terminal.shown.length, 0);
  const counted = log.reduce((sum, line) => sum + (line.bytes?.output ?? 0), 0);
  t.equal(counted, total, `${(total / 1e6).toFixed(1)} MB in all`);
  await until('the spool is empty', () =>
    readdirSync(rig.path('spool')).every(name => !/^[a-z2-7]{16}\./.test(name)),
  );
});

/** Round trips of a key through a terminal that echoes, milliseconds, the fastest first. */
async function roundTrips(terminal: Terminal, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const key = String.fromCharCode(97 + (i % 26));
    const began = performance.now();
    terminal.type(key);
    await terminal.until(key);
    times.push(performance.now() - began);
    await sleep(2);
  }
  return times.toSorted((a, b) => a - b);
}

function quantiles(times: readonly number[]): { median: number; p99: number; words: string } {
  const at = (share: number) => times[Math.floor(share * (times.length - 1))] as number;
  const words = `median ${at(0.5).toFixed(2)} ms, 99th percentile ${at(0.99).toFixed(2)} ms, most ${at(1).toFixed(2)} ms`;
  return { median: at(0.5), p99: at(0.99), words };
}

/** Bytes that a process has read so far (proc(5), io). */
function bytesRead(pid: number): number {
  return Number(/^rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1]);
}

t.test("a flood in one user's session keeps no key of another's waiting", async t => {
  const [victim, flooder] = users as [Account, Account];
  const echo = new Terminal([
    'sh',
    start,
    victim.name,
    '/bin/sh',
    '-c',
    'stty raw -echo; echo ready; exec cat',
  ]);
  await echo.until('ready\n');
  const calm = quantiles(await roundTrips(echo, 500));
  t.comment(`alone: ${calm.words}`);

  // Whoever reads the flood must not be this process, which measures.
  const flood = spawn(
    'script',
    [
      '-q',
      '-c',
      `sh ${start} ${flooder.name} /usr/bin/yes 'a line of the flood, as long as lines are'`,
      '/dev/null',
    ],
    { stdio: ['pipe', 'ignore', 'ignore'] },
  );
  t.teardown(() => kill(flood.pid as number));
  await until('the flood', () => bytesRead(flood.pid as number) > 1e6);
  const [bytesBefore, timeBefore] = [bytesRead(flood.pid as number), performance.now()];
  const beside = quantiles(await roundTrips(echo, 500));
  const rate = (bytesRead(flood.pid as number) - bytesBefore) / (performance.now() - timeBefore) / 1000;
  t.comment(`beside a flood of ${rate.toFixed(0)} MB/s: ${beside.words}`);
  t.ok(rate > 0.1, 'it was a flood');
  t.ok(beside.p99 < 1_000);

  kill(flood.pid as number);
  echo.close();
  await until('nothing of the users left', () => rig.accounts.processes().length === 0);
});

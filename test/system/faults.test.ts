/** The faults found by running the original: none of them may be ours. Fault 5 is in by_hand.test.ts. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cpuSeconds, descendants } from '../bench/processes.ts';
import { type Account, kill, PROMPT } from './rig/accounts.ts';
import { sha256 } from './rig/archive.ts';
import { idOf, Rig } from './rig/rig.ts';
import { ENV, must, run, until } from './rig/run.ts';

const rig = await Rig.start();
const user = rig.accounts.add('/bin/bash');
const ttyspy = rig.client('ttyspy.conf');

/** A command that a user runs on the bastion, not by ssh. */
function as(account: Account, command: string) {
  const options = [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'];
  return run(['setpriv', ...options, 'bash', '-c', command], { cwd: account.home });
}

function bastion(): number[] {
  return [rig.pid('ttyspyd'), ...descendants(rig.pid('ttyspyd'))];
}

t.test('fault 1: the receiver is away at the start, and killed in the middle: nothing is lost', async t => {
  await rig.stopReceiver();
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    await terminal.run('seq 3000');
    await rig.startReceiver();
    terminal.type('for i in $(seq 200); do echo $i $RANDOM; sleep 0.02; done; echo $((6 * 7))\r');
    for (let i = 0; i < 3; i++) {
      await sleep(700);
      await rig.stopReceiver('SIGKILL');
      await sleep(300);
      await rig.startReceiver();
    }
    await terminal.until('42\r\n');
    await terminal.until(PROMPT);
    terminal.type('exit\r');
    await terminal.ended();
    return terminal.shown;
  });
  t.equal(sha256(session.output), sha256(result));
  t.equal(session.manifest.end.reason, 'exit');
});

t.test('fault 1: the uplink is killed in the middle: another one goes on where it was', async t => {
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    await terminal.run('seq 5000');
    for (const pid of descendants(rig.pid('ttyspyd'))) kill(pid);
    await terminal.run('seq 5000');
    terminal.type('exit\r');
    await terminal.ended();
    return terminal.shown;
  });
  t.equal(sha256(session.output), sha256(result));
});

t.test('fault 2: of a small session everything is at the archive while it goes on', async t => {
  const before = rig.archive.ids();
  const terminal = rig.login({ user });
  await terminal.until(PROMPT);
  terminal.type('printf little; sleep 1000\r');
  await terminal.until(/\nlittle|\rlittle/);
  const id = [...rig.archive.ids()].find(id => !before.has(id)) as string;
  await until('it at the archive', () => {
    const file = rig.archive.transcript(id);
    return file && readFileSync(file).subarray(-6).toString() === 'little';
  });
  t.ok(rig.archive.spoolFile(id)?.endsWith('.live'));
  kill(terminal.pid);
  await rig.archive.complete(id);
});

t.test('fault 3: the receiver stalls: the terminal goes on', async t => {
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    process.kill(rig.pid('receiver'), 'SIGSTOP');
    try {
      await terminal.run('seq 100000; echo $((6 * 7))');
      for (let i = 0; i < 20; i++) t.match(await terminal.run(`echo $((${i} + 1000))`), `${1000 + i}\r\n`);
    } finally {
      process.kill(rig.pid('receiver'), 'SIGCONT');
    }
    terminal.type('exit\r');
    await terminal.ended();
    return terminal.shown;
  });
  t.equal(sha256(session.output), sha256(result));
});

t.test('fault 4: a client that closes within the hello costs nothing afterwards', async t => {
  const hello = JSON.stringify(readFileSync('test/fixtures/original/client-hello.bin').toString('latin1'));
  const program =
    `const { connect } = require('net'); for (let i = 0; i < 60; i++) connect('${rig.path('run/ttyspy.sock')}')` +
    `.on('error', () => {}).end(Buffer.from(${hello}, 'latin1').subarray(0, i * 8));`;
  const { status } = await run([process.execPath, '-e', program], { uid: user.uid, gid: user.gid });
  t.equal(status, 0);
  await sleep(1_000);
  const before = cpuSeconds(bastion());
  await sleep(1_500);
  t.ok(cpuSeconds(bastion()) - before < 0.3, 'idle');
  t.equal((await rig.ssh({ user }, 'exit 3')).status, 3, 'and everybody else is let in');
});

t.test(
  'fault 6: a command without a terminal is on record in full; without ttyspyd it is refused, in words',
  async t => {
    const data = randomBytes(1024 ** 2);
    const { session } = await rig.archive.one(() => rig.ssh({ user }, 'cat', data));
    t.equal(sha256(session.output), sha256(data));
    t.equal(sha256(session.input), sha256(data));
    await rig.stopDaemon();
    const { status, signal, stdout, stderr } = await rig.ssh({ user }, 'cat', data);
    t.same([status, signal, stdout.length], [75, null, 0]);
    t.match(stderr.toString(), /^ttyspy: no recorder answers on/);
    await rig.startDaemon();
  },
);

t.test("fault 7: options of the recorded command are the command's", async t => {
  const { result, session } = await rig.archive.one(() =>
    as(user, `${ttyspy} /bin/sh -c 'echo "[$0] [$1] [$2]"' -c -x --help < /dev/null`),
  );
  t.equal(result.stdout.toString(), '[-c] [-x] [--help]\n');
  t.same(session.manifest.claims.argv, ['/bin/sh', '-c', 'echo "[$0] [$1] [$2]"', '-c', '-x', '--help']);
});

t.test('fault 8: a flood of output while the user pastes more than the tty holds: no deadlock', async t => {
  const paste = Buffer.from(Array.from({ length: 600_000 }, (_, i) => 32 + ((i * 7) % 90)));
  const { session, result } = await rig.archive.one(async () => {
    const command = 'stty raw -echo; echo start; seq 300000; head -c 600000 | sha256sum; stty sane';
    const terminal = rig.login({ user }, [command]);
    await terminal.until('start');
    terminal.type(paste);
    await terminal.until('\n300000\n');
    t.equal(/[0-9a-f]{64}/.exec(await terminal.until('-\n'))?.[0], sha256(paste), 'and the paste arrives');
    await terminal.ended();
    return terminal.shown;
  });
  t.ok(session.output.equals(result));
});

t.test('fault 8: the other way round: nobody reads what the terminal shows', async t => {
  const terminal = rig.login({ user });
  await terminal.until(PROMPT);
  terminal.type('yes | head -c 30000000\r');
  await until('a flood', () => terminal.shown.length > 100_000);
  process.kill(terminal.pid, 'SIGSTOP');
  await sleep(1_000);
  const other = rig.login({ user });
  await other.until(PROMPT);
  t.match(await other.run('echo $((6 * 7))'), '42', 'others work meanwhile');
  process.kill(terminal.pid, 'SIGCONT');
  terminal.type('\x03');
  await terminal.until(PROMPT);
  for (const one of [terminal, other]) {
    one.type('exit\r');
    await one.ended();
  }
});

t.test('fault 9: line ends in SSH_CLIENT make no header and no request of their own', async t => {
  const forged = 'x\r\nUsername: root\r\n\r\nPOST /transcript HTTP/1.1\r\nX-Username: root\r\n\r\n';
  const { session } = await rig.archive.one(() =>
    as(
      user,
      `SSH_CLIENT=$'${forged.replaceAll('\r', '\\r').replaceAll('\n', '\\n')}' ${ttyspy} /bin/echo hi < /dev/null`,
    ),
  );
  t.equal(session.manifest.username, user.name);
  t.equal(session.manifest.claims.ssh_client, forged, 'as it was');
  const header = readFileSync(session.file, 'utf8').split('\n\n\n')[0] as string;
  t.same(header.match(/^Username: .*$/gm), [`Username: ${user.name}`]);
  t.equal(header.match(/^SSH_Client: .*$/gm)?.length, 1);
  t.equal(session.output.toString(), 'hi\n');
});

t.test('fault 10: an empty GECOS', async t => {
  const plain = rig.accounts.add('/bin/bash', '');
  const { session } = await rig.archive.one(() => rig.ssh({ user: plain }, 'echo hi'));
  t.equal(session.manifest.gecos, '');
  t.equal(session.output.toString(), 'hi\n');
});

t.test('fault 12: no session hangs at its end, however many there are', async t => {
  // One after the other on the same stdout, which each of them hands over.
  const loop = `for i in $(seq 10); do : | ${ttyspy} /bin/sh -c 'echo out; exit 3'; [ $? = 3 ] || echo BAD; done`;
  const { sessions } = await rig.archive.recorded(40, async () => {
    const results = await Promise.all(Array.from({ length: 4 }, () => as(user, loop)));
    for (const { stdout } of results) t.equal(stdout.toString(), 'out\n'.repeat(10));
  });
  t.ok(sessions.every(session => session.manifest.end.status === 3));
});

t.test('fault 13: -f keeps ttyspyd in the foreground, and not root', async t => {
  rig.configure('foreground.conf', [
    `socket ${rig.path('run/foreground.sock')}`,
    `spool_path ${rig.path('spool-f')}`,
  ]);
  const child = spawn(rig.program('daemon/ttyspyd'), ['-f', '-c', rig.path('foreground.conf')], {
    env: ENV,
    stdio: 'ignore',
  });
  const pid = child.pid as number;
  rig.undo(() => kill(pid));
  const uid = idOf('-u', 'daemon');
  await until('not root', () =>
    new RegExp(`^Uid:\t${uid}\t${uid}\t${uid}\t${uid}$`, 'm').test(
      readFileSync(`/proc/${pid}/status`, 'latin1'),
    ),
  );
  await until('its uplink', () => descendants(pid).length > 0);
  for (const one of [pid, ...descendants(pid)]) {
    const status = readFileSync(`/proc/${one}/status`, 'latin1');
    t.match(status, new RegExp(`^Gid:(\t${idOf('-g', 'daemon')}){4}$`, 'm'));
    t.match(status, /^Cap(?:Prm|Eff):\t0+$/m);
    t.notMatch(status, /^Groups:.*\b0\b/m, "not root's groups");
  }
  child.kill();
});

t.test('fault 13: who says to be another is recorded under their own name', async t => {
  const forge = `USER=root LOGNAME=root USERNAME=root HOME=/root SUDO_USER=root ${ttyspy} /bin/echo hi < /dev/null`;
  const { session } = await rig.archive.one(() => as(user, forge));
  t.equal(session.manifest.username, user.name);
  t.equal(session.manifest.kernel?.uid, user.uid);
});

t.test(
  'fault 14: timing, size, resize, input and exit status are there, and scriptreplay plays them',
  async t => {
    const { session, result } = await rig.archive.one(async () => {
      const terminal = rig.login({ user }, [], { rows: 30, columns: 90 });
      await terminal.until(PROMPT);
      terminal.resize(40, 100);
      await sleep(1_200);
      terminal.type('exit 8\r');
      await terminal.ended();
      return terminal.shown;
    });
    const { rows, columns, end } = session.manifest;
    t.same([rows, columns, end.status], [30, 90, 8]);
    t.ok((end.streams['input']?.bytes ?? 0) >= 'exit 8\r'.length);
    t.match(session.timing, /^H 0\.000000 COLUMNS 90$/m);
    t.match(session.timing, /^H 0\.000000 LINES 30$/m);
    t.match(session.timing, /^S \d+\.\d+ SIGWINCH ROWS=40 COLS=100$/m);
    t.match(session.timing, /^H \d+\.\d+ EXIT_CODE 8$/m);
    const played = await must([
      'scriptreplay',
      '-T',
      `${session.file}.timing`,
      '-O',
      session.file,
      '-m',
      '0.001',
    ]);
    t.ok(played.includes(result.toString()));
    const input = 'typed\n';
    const command = await rig.archive.one(() => rig.ssh({ user }, 'cat', input));
    t.equal(command.session.input.toString(), input);
  },
);

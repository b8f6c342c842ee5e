/** An interactive shell over ssh: what the user sees and can do, and what the archive has of it. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { kill, PROMPT } from './rig/accounts.ts';
import { Rig } from './rig/rig.ts';
import { until } from './rig/run.ts';

const rig = await Rig.start();

for (const shell of ['/bin/bash', '/bin/zsh']) {
  const user = rig.accounts.add(shell);

  t.test(`${shell}: what is shown is what the archive has, byte for byte`, async t => {
    const { session, result } = await rig.archive.one(async () => {
      const terminal = rig.login({ user });
      await terminal.until(PROMPT);
      await terminal.run('echo "on $(tty)"; echo æøå; printf "\\377\\376\\000\\200\\n"');
      terminal.type('exit 3\r');
      return { ...(await terminal.ended()), shown: terminal.shown };
    });
    t.same(session.output, result.shown);
    t.match(session.output.toString(), /on \/dev\/pts\/\d+\r\næøå/);
    t.ok(session.output.includes(Buffer.from([0xff, 0xfe, 0, 0x80])), 'bytes that are not UTF-8');
    const { username, hostname, gecos, mode, rows, columns, kernel, claims, end } = session.manifest;
    t.match(
      { username, hostname, gecos, mode, rows, columns },
      {
        username: user.name,
        hostname: 'bastion.test',
        gecos: 'Made by a test,Room 0',
        mode: 'tty',
        rows: 24,
        columns: 80,
      },
    );
    t.match(kernel, { uid: user.uid, gid: user.gid, home: user.home, shell, parent_comm: 'sshd' });
    t.match(claims, { ssh_client: /^127\.0\.0\.1 \d+ \d+$/, term: 'xterm-256color' });
    t.equal(claims.tty_shared, undefined, 'the terminal was taken from everybody else');
    t.match(end, { reason: 'exit', status: 3, signal: null });
    t.equal(end.streams['output']?.bytes, session.output.length);
  });

  t.test(`${shell}: job control: Ctrl-Z, jobs, bg, fg, Ctrl-C, Ctrl-\\`, async t => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.type('sleep 1000\r');
    await sleep(300);
    terminal.type('\x1a');
    await terminal.until(PROMPT);
    t.match(await terminal.run('jobs'), /(?:Stopped|suspended).*sleep 1000/);
    await terminal.run('bg');
    t.match(await terminal.run('jobs'), /[Rr]unning.*sleep 1000/);
    terminal.type('fg\r');
    await terminal.until(/sleep 1000[^\n]*\n/);
    await sleep(300);
    terminal.type('\x03');
    await terminal.until(PROMPT);
    t.match(await terminal.run('echo status=$?'), /status=130/, 'Ctrl-C is SIGINT');
    terminal.type('(ulimit -c 0; exec sleep 1000)\r');
    await sleep(300);
    terminal.type('\x1c');
    await terminal.until(PROMPT);
    t.match(await terminal.run('echo status=$?'), /status=131/, 'Ctrl-\\ is SIGQUIT');
    t.notMatch(await terminal.run('jobs'), /sleep/);
    await terminal.run('(exit 7)');
    terminal.type('\x04');
    t.equal((await terminal.ended()).status, 7, 'Ctrl-D leaves with the status of the last command');
  });

  t.test(`${shell}: a resize reaches the terminal by itself, and the archive`, async t => {
    rig.accounts.write(
      user,
      'watch.sh',
      "trap 'echo now $(stty size)' WINCH; while :; do sleep 0.02; done\n",
    );
    const { session } = await rig.archive.one(async () => {
      const terminal = rig.login({ user }, [], { rows: 24, columns: 80 });
      await terminal.until(PROMPT);
      t.match(await terminal.run('stty size'), /24 80/);
      terminal.type('sh ~/watch.sh\r');
      await sleep(300);
      const began = performance.now();
      terminal.resize(40, 132);
      await terminal.until('now 40 132');
      t.comment(`seen after ${Math.round(performance.now() - began)} ms`);
      terminal.resize(50, 100);
      await terminal.until('now 50 100');
      terminal.type('\x03');
      await terminal.until(PROMPT);
      terminal.type('exit\r');
      await terminal.ended();
    });
    t.match([session.manifest.rows, session.manifest.columns], [24, 80]);
    const resizes = session.timing.split('\n').filter(line => line.includes('SIGWINCH'));
    t.match(resizes, [/ROWS=40 COLS=132$/, /ROWS=50 COLS=100$/]);
    t.equal(resizes.length, 2);
  });
}

const user = rig.accounts.add('/bin/bash');

t.test('full-screen programs: cursor keys, no echo, no change of line ends', async t => {
  const program = rig.accounts.write(
    user,
    'keys.sh',
    'stty raw -echo; printf "one\\ntwo\\r\\n"; dd bs=1 count=6 2>/dev/null | od -An -tx1; stty sane\n',
  );
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user }, [`sh ${program}`]);
    await terminal.until('two\r\n');
    terminal.type('\x1b[A\r\x03\xe6');
    await terminal.ended();
    return terminal.shown;
  });
  t.match(result.toString('latin1'), /^one\ntwo\r\n/, 'a bare line feed stays one');
  t.match(result.toString('latin1'), / 1b 5b 41 0d 03 c3/, 'keys arrive as they were pressed');
  t.same(session.output, result);
});

t.test('a pager, an editor and a screen full of colours', async t => {
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.type('seq 500 | less\r');
    await terminal.until(/\n23\r\n:/);
    terminal.type('G');
    await terminal.until('(END)');
    terminal.type('q');
    await terminal.until(PROMPT);
    await terminal.run('for i in $(seq 255); do printf "\\033[38;5;%dm%d " $i $i; done; tput sgr0');
    terminal.type('exit\r');
    await terminal.ended();
    return terminal.shown;
  });
  t.same(session.output, result);
  t.ok(session.output.includes('\x1b[38;5;255m255'));
});

t.test('typing does not get lost while the shell starts', async t => {
  const terminal = rig.login({ user });
  terminal.type('echo early $((6 * 7))\r');
  await terminal.until('early 42');
  terminal.type('exit\r');
  t.equal((await terminal.ended()).status, 0);
});

t.test('what is typed and not shown is not recorded: a password', async t => {
  const { session } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.type('read -rs secret; printf "$secret" | wc -c\r');
    await sleep(300);
    terminal.type('hunter2-correct-horse\r');
    await terminal.until('21\r\n');
    terminal.type('exit\r');
    await terminal.ended();
  });
  for (const part of [session.output, session.input, Buffer.from(session.timing)]) {
    t.notOk(part.includes('hunter2'));
  }
  t.notOk(rig.log('ttyspyd').includes('hunter2'));
});

/** What the waiter beside a shell has open, by /proc. */
function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map(fd => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

t.test('of ttyspy nothing stays in the process tree but what waits, and that has no terminal', async t => {
  const terminal = rig.login({ user });
  await terminal.until(PROMPT);
  const shown = await terminal.run('echo pid $PPID $(ps -o comm= -p $PPID); ps -o comm= -u $(id -u)');
  const [, waiter] = /pid (\d+) ttyspy-wait/.exec(shown) ?? [];
  t.notMatch(shown, /\bnode\b|\bttyspy\r/);
  t.match(openFiles(Number(waiter)), [/^socket:/]);
  t.equal(openFiles(Number(waiter)).length, 1);
  const status = readFileSync(`/proc/${waiter}/status`, 'latin1');
  t.match(status, /^Threads:\t1$/m);
  t.comment(/^Pss:.*$/m.exec(readFileSync(`/proc/${waiter}/smaps_rollup`, 'latin1'))?.[0] ?? '');
  t.match(await terminal.run('strace -p $PPID; cat /proc/$PPID/environ'), /denied|not (?:found|permitted)/);
  terminal.type('exit\r');
  await terminal.ended();
});

t.test('a signal for the process that sshd started reaches the shell', async t => {
  const { result, session } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.type(
      "trap 'echo got it' USR1; trap 'exit 9' TERM; kill -USR1 $PPID; sleep 1; kill -TERM $PPID; sleep 9\r",
    );
    await terminal.until('got it\r\n');
    return terminal.ended();
  });
  t.equal(result.status, 9);
  t.match(session.manifest.end, { reason: 'exit', status: 9 });
});

t.test('who kills what waits hangs up', async t => {
  const { result, session } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.type("trap 'touch ~/hung-up' HUP; kill -KILL $PPID; while :; do sleep 0.1; done\r");
    return terminal.ended();
  });
  t.not(result.status, 0);
  t.match(session.manifest.end.reason, /^(?:killed|hangup)$/);
  t.ok(await until('SIGHUP', () => existsSync(`${user.home}/hung-up`)));
  for (const pid of rig.accounts.processes(user)) kill(pid);
});

t.test('the last words of a session are always seen, however busy the machine is', async t => {
  const busy = Array.from({ length: 8 }, () => spawn('sh', ['-c', 'while :; do :; done']));
  t.teardown(() => busy.map(child => child.kill('SIGKILL')));
  let seen = 0;
  for (let i = 0; i < 20; i++) {
    const terminal = rig.login({ user }, ['echo last words']);
    await terminal.ended();
    if (terminal.shown.includes('last words\r\n')) seen++;
  }
  t.equal(seen, 20);
});

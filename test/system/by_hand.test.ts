/** ttyspy started by hand, as script(1) is: from a shell, in a pipeline, with files, by nohup. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cpuSeconds } from '../bench/processes.ts';
import { type Account, kill, PROMPT } from './rig/accounts.ts';
import { sha256 } from './rig/archive.ts';
import { Rig } from './rig/rig.ts';
import { run, until } from './rig/run.ts';
import type { Terminal } from './rig/terminal.ts';

const rig = await Rig.start();
const user = rig.accounts.add('/bin/bash');
const ttyspy = rig.client('ttyspy.conf');

/** A shell that nobody records, with ttyspy at hand. */
async function shell(account: Account = user, port = rig.bare): Promise<Terminal> {
  const terminal = rig.login({ user: account, port });
  await terminal.until(PROMPT);
  return terminal;
}

async function leave(terminal: Terminal, status = 0): Promise<number> {
  terminal.type(`exit ${status}\r`);
  return (await terminal.ended()).status;
}

t.test('a shell within a shell: recorded to its end, with job control, Ctrl-C and resize', async t => {
  const terminal = await shell();
  const settings = await terminal.run('stty -g');
  const { session, result } = await rig.archive.one(async () => {
    const from = terminal.shown.length;
    await terminal.run(ttyspy);
    t.match(await terminal.run('echo "[$0] $(tty) $SSH_TTY"'), /\[-bash\] (\/dev\/pts\/\d+) \1/);
    terminal.type('sleep 1000\r');
    await sleep(300);
    terminal.type('\x1a');
    await terminal.until(PROMPT);
    t.match(await terminal.run('jobs'), /Stopped.*sleep 1000/);
    terminal.type('fg\r');
    await sleep(300);
    terminal.type('\x03');
    await terminal.until(PROMPT);
    terminal.resize(33, 99);
    await sleep(1_000);
    // The shell may have drawn its prompt once more.
    terminal.type('stty size\r');
    await terminal.until('33 99\r\n');
    await terminal.until(PROMPT);
    terminal.type('exit 9\r');
    await terminal.until(PROMPT);
    return terminal.shown.subarray(from);
  });
  t.match(await terminal.run('echo status=$?'), /status=9/);
  t.equal(
    (await terminal.run('stty -g')).split('\n')[1],
    settings.split('\n')[1],
    'the terminal is as before',
  );
  t.ok(result.includes(session.output), 'what was shown meanwhile is what was recorded');
  t.match(session.manifest.end, { reason: 'exit', status: 9 });
  t.match(session.timing, /SIGWINCH ROWS=33 COLS=99/);
  t.equal(await leave(terminal, 3), 3);
});

t.test('within a recorded shell: two records', async t => {
  const { sessions } = await rig.archive.recorded(2, async () => {
    const terminal = await shell(user, rig.recorded);
    await terminal.run(ttyspy);
    await terminal.run('echo $((6 * 7)) within');
    await terminal.run('exit');
    await leave(terminal);
  });
  for (const { output } of sessions) t.match(output.toString(), /42 within/);
});

t.test('exit statuses, and a command with options of its own', async t => {
  const terminal = await shell();
  for (const [command, status] of [
    ["/bin/sh -c 'exit 7'", 7],
    ["/bin/sh -c 'kill -TERM $$'", 143],
    ['/bin/ls --no-such-option', 2],
    ['/no/such/program', 127],
    ['-- /bin/true', 0],
  ] as const) {
    await terminal.run(`${ttyspy} ${command}`);
    t.match(await terminal.run('echo "status=$?"'), `status=${status}\r`, command);
  }
  await terminal.run(`${ttyspy} relative`);
  t.match(await terminal.run('echo "status=$?"'), 'status=64\r');
  await leave(terminal);
});

t.test('in a pipeline, with files, without a terminal', async t => {
  const words = 'æøå\nwords\n';
  rig.accounts.write(user, 'words', words);
  const terminal = await shell();
  const sum = sha256(Buffer.from(words));
  for (const command of [
    `cat words | ${ttyspy} /bin/cat | sha256sum`,
    `${ttyspy} /bin/cat < words | sha256sum`,
    `${ttyspy} /bin/cat words > copy; sha256sum < copy`,
    `cat words | ${ttyspy} /bin/cat > copy 2> errors; sha256sum < copy`,
    `x=$(${ttyspy} /bin/cat words); echo "$x" | sha256sum`,
  ]) {
    const { result, session } = await rig.archive.one(() => terminal.run(command));
    t.match(result, sum, command);
    t.equal(session.output.toString(), words, command);
  }
  t.equal(readFileSync(join(user.home, 'copy'), 'utf8'), words);
  const { result, session } = await rig.archive.one(() =>
    run(
      [
        'setpriv',
        `--reuid=${user.uid}`,
        `--regid=${user.gid}`,
        '--clear-groups',
        'sh',
        '-c',
        `${ttyspy} /bin/sh -c 'cat words; exit 5' < /dev/null`,
      ],
      {
        cwd: user.home,
      },
    ),
  );
  t.equal(result.status, 5, 'as cron would start it');
  t.equal(result.stdout.toString(), words);
  t.equal(session.output.toString(), words);
  await leave(terminal);
});

t.test('a pipe that was handed over is given back as it was: blocking', async t => {
  const terminal = await shell();
  const flags = 'sleep 0.5; grep flags /proc/self/fdinfo/0; grep flags /proc/self/fdinfo/1 >&2';
  const read = async (before: string) => {
    const shown = await terminal.run(
      `sleep 3 | (${before}; ${flags}; seq 1000000) 2>&1 | (sleep 1; sha256sum)`,
    );
    return /[0-9a-f]{64}/.exec(shown)?.[0];
  };
  const without = await read(':');
  t.match(without, /./);
  t.equal(await read(`${ttyspy} /bin/true`), without);
  await leave(terminal);
});

t.test('fault 5: stdin at its end, SIGHUP ignored (nohup): nothing spins', async t => {
  const { session } = await rig.archive.one(async () => {
    const terminal = await shell();
    await terminal.run(`nohup ${ttyspy} /bin/sh -c 'sleep 4; echo done' < /dev/null > nohup.out 2>&1 &`);
    await sleep(1_500);
    const before = cpuSeconds(rig.accounts.processes(user));
    await sleep(1_500);
    t.ok(cpuSeconds(rig.accounts.processes(user)) - before < 0.3, 'idle while it waits');
    await leave(terminal);
    await until('the end of it', () => rig.accounts.processes(user).length === 0);
  });
  t.equal(session.output.toString(), 'done\n');
  t.equal(session.manifest.end.status, 0);
  t.equal(readFileSync(join(user.home, 'nohup.out'), 'utf8'), 'done\n');
});

t.test('fault 5: the terminal goes away below a nohup: it ends', async t => {
  const { session } = await rig.archive.one(async () => {
    const terminal = await shell();
    terminal.type(`nohup sh -c 'exec ${ttyspy} < /dev/tty > /dev/tty'\r`);
    await terminal.until(PROMPT);
    terminal.close();
    await until('the end of it', () => rig.accounts.processes(user).length === 0);
  });
  t.equal(session.manifest.end.reason, 'hangup');
});

t.test('hang-up of the terminal reaches the shell within', async t => {
  const { session } = await rig.archive.one(async () => {
    const terminal = await shell();
    await terminal.run(ttyspy);
    kill(terminal.pid);
    await until('the end of it', () => rig.accounts.processes(user).length === 0);
  });
  t.equal(session.manifest.end.reason, 'hangup');
});

t.test('20 MB by hand', async t => {
  const terminal = await shell();
  const { session } = await rig.archive.one(() => terminal.run(`${ttyspy} /bin/sh -c 'seq 2500000'`));
  t.ok(session.output.length > 20_000_000, `${session.output.length} bytes`);
  t.ok(terminal.shown.includes(session.output), 'all of it was shown, in order');
  await leave(terminal);
});

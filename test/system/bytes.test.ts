/** Byte for byte: what the user sees is what the spool has and what the archive has, also when something breaks. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Kind } from '../../src/session/event.ts';
import { kill, PROMPT } from './rig/accounts.ts';
import { readSpool, sha256 } from './rig/archive.ts';
import { Rig } from './rig/rig.ts';
import { run, until } from './rig/run.ts';

const rig = await Rig.start();
const user = rig.accounts.add('/bin/bash');

/** Terminal output in a spool file. */
function spooledOutput(file: string): Buffer {
  return Buffer.concat(
    readSpool(file)
      .events.filter(event => event.kind === Kind.output)
      .map(event => event.bytes),
  );
}

t.test('20 MB: equal at the user, in the spool and in the archive', async t => {
  // Lines of every length, UTF-8 and bytes that are none.
  const program =
    'LC_ALL=C awk \'BEGIN { while (n < 20e6) { i++; s = sprintf("%d %c%c ", i, i % 256, i * 7 % 256);' +
    ' for (j = i % 97; j > 0; j--) s = s "æ€𝄞x"; print s; n += length(s) + 1 } }\'';
  await rig.stopReceiver();
  const before = rig.archive.ids();
  const terminal = rig.login({ user }, [program]);
  await terminal.ended();
  const { shown } = terminal;
  t.ok(shown.length > 20e6, `${shown.length} bytes shown`);
  const id = [...rig.archive.ids()].find(id => !before.has(id)) as string;
  const spooled = await until('end in the spool', () => rig.archive.spoolFile(id)?.endsWith('.done'));
  t.ok(spooled);
  t.equal(sha256(spooledOutput(rig.archive.spoolFile(id) as string)), sha256(shown), 'the spool');
  await rig.startReceiver();
  const session = await rig.archive.complete(id);
  t.equal(sha256(session.output), sha256(shown), 'the archive');
  t.equal(session.manifest.end.streams['output']?.bytes, shown.length);
  await until('the spool is empty again', () => rig.archive.spoolFile(id) === null);
});

t.test('random bytes, every one of them, both ways through a raw terminal', async t => {
  const data = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 167 + (i >> 8)) & 0xff));
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user }, ['stty raw -echo; echo go; head -c 65536']);
    await terminal.until('go\n');
    // ssh takes ~ after a line end for an escape of its own.
    terminal.type(Buffer.from(data.map(byte => (byte === 0x7e ? 0x7f : byte))));
    await terminal.ended();
    return terminal.shown;
  });
  t.equal(sha256(result.subarray(3)), sha256(data.map(byte => (byte === 0x7e ? 0x7f : byte))));
  t.same(session.output, result);
});

t.test('hang-up: ssh is killed, the shell gets SIGHUP, the transcript is complete up to there', async t => {
  const { session, result } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.type(
      "trap 'echo hung-up > ~/hangup; exit' HUP; n=0; while :; do echo line $((n++)); sleep 0.01; done\r",
    );
    await terminal.until('line 50\r\n');
    const { shown } = terminal;
    kill(terminal.pid);
    await terminal.ended();
    await until('SIGHUP for the shell', () => existsSync(`${user.home}/hangup`));
    return shown;
  });
  t.equal(session.manifest.end.reason, 'hangup');
  t.same(session.output.subarray(0, result.length), result, 'everything seen is in the archive, in order');
  await until('nothing of the user left', () => rig.accounts.processes(user).length === 0);
});

t.test('the window is closed: the same', async t => {
  const { session } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    terminal.close();
    await until('nothing of the user left', () => rig.accounts.processes(user).length === 0);
  });
  t.equal(session.manifest.end.reason, 'hangup');
  t.match(session.output.toString(), new RegExp(PROMPT.replace('$', '\\$')));
});

t.test('a background job that keeps the terminal open does not keep the session', async t => {
  const { session } = await rig.archive.one(async () => {
    const terminal = rig.login({ user });
    await terminal.until(PROMPT);
    await terminal.run('nohup sleep 1000 < /dev/tty > /dev/tty 2>&1 & disown');
    terminal.type('exit 0\r');
    t.equal((await terminal.ended()).status, 0);
  });
  t.equal(session.manifest.end.reason, 'exit');
  for (const pid of rig.accounts.processes(user)) kill(pid);
});

t.test('the outer terminal cannot be opened a second time: EBUSY', async t => {
  const before = rig.archive.ids();
  const terminal = rig.login({ user });
  await terminal.until(PROMPT);
  const id = [...rig.archive.ids()].find(id => !before.has(id)) as string;
  const { start } = readSpool(rig.archive.spoolFile(id) as string);
  const outer = start.kernel?.tty as string;
  const inner = /\/dev\/pts\/\d+/.exec(await terminal.run('tty'))?.[0] as string;
  t.not(outer, inner);
  const asUser = (command: string) =>
    run(['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', 'sh', '-c', command]);
  for (const way of [`echo unrecorded > ${outer}`, `: < ${outer}`, `stty -F ${outer} -a`]) {
    const { status, stderr } = await asUser(way);
    t.not(status, 0, way);
    t.match(stderr.toString(), /[Bb]usy/);
  }
  t.equal((await asUser(`echo recorded > ${inner}`)).status, 0, 'the inner one can, and is recorded');
  await terminal.until('recorded\r\n');
  terminal.type('exit\r');
  await terminal.ended();
  const { output } = await rig.archive.complete(id);
  t.same(output, terminal.shown);
  t.notOk(output.includes('unrecorded'));
});

t.test('record before display: what is on the screen is in the spool', async t => {
  await rig.stopReceiver();
  const before = rig.archive.ids();
  const terminal = rig.login({ user });
  await terminal.until(PROMPT);
  const id = [...rig.archive.ids()].find(id => !before.has(id)) as string;
  for (let i = 0; i < 50; i++) {
    terminal.type(`echo $((${i} * 1001))\r`);
    await terminal.until(`${i * 1001}\r\n`);
    const { shown } = terminal;
    const spooled = spooledOutput(rig.archive.spoolFile(id) as string);
    if (!spooled.subarray(0, shown.length).equals(shown))
      t.fail(`line ${i} was shown before it was recorded`);
  }
  terminal.type('exit\r');
  await terminal.ended();
  await rig.startReceiver();
  t.same((await rig.archive.complete(id)).output, terminal.shown);
});

t.test('what is done is at the archive while the session goes on', async t => {
  const before = rig.archive.ids();
  const terminal = rig.login({ user });
  await terminal.until(PROMPT);
  const id = [...rig.archive.ids()].find(id => !before.has(id)) as string;
  await terminal.run('true');
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    await sleep(400);
    terminal.type(`echo $((${i} + 7000))\r`);
    await terminal.until(`${7000 + i}\r\n`);
    const began = performance.now();
    await until('at the archive', () => {
      const file = rig.archive.transcript(id);
      return file !== null && readFileSync(file).includes(`${7000 + i}\r\n`);
    });
    times.push(Math.round(performance.now() - began));
  }
  t.comment(`after ${times.join(', ')} ms`);
  terminal.type('exit\r');
  await terminal.ended();
  t.same((await rig.archive.complete(id)).output, terminal.shown);
});

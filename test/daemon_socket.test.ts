/** ttyspyd's socket: made by itself, or passed by systemd. */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { native } from '../src/os/native.ts';
import { DaemonRig } from './support/daemon_rig.ts';
import { Terminal, visit } from './support/visitor.ts';

const EX_UNAVAILABLE = 69;

function serves(t: Test, rig: DaemonRig): void {
  const terminal = new Terminal();
  t.match(visit(rig.socket, { mode: 'tty', claims: {} }, terminal.fds), { ok: true });
  terminal.handedOver();
  terminal.exit();
  terminal.hangUp();
}

function make(t: Test, lines: readonly string[] = []): DaemonRig {
  const rig = new DaemonRig(lines);
  t.teardown(() => rig.end());
  return rig;
}

/** What it said when it did not begin. */
async function refusal(rig: DaemonRig, shell?: string, fds?: readonly number[]): Promise<string> {
  if (await rig.attempt(shell, fds)) throw new Error('ttyspyd began');
  return `${rig.child.exitCode}: ${rig.log.map(({ msg }) => msg).join(' ')}`;
}

t.test('made by itself, for everybody', async t => {
  const rig = make(t);
  await rig.run();
  t.equal(statSync(rig.socket).mode & 0o7777, 0o666);
  t.equal(statSync(rig.spool).mode & 0o7777, 0o700);
  serves(t, rig);
});

t.test('a stale socket is replaced', async t => {
  const rig = make(t);
  await rig.run();
  await rig.stop('SIGKILL');
  t.ok(existsSync(rig.socket));
  await rig.run();
  serves(t, rig);
});

t.test('what is no socket is left alone', async t => {
  const rig = make(t);
  writeFileSync(rig.socket, 'precious');
  t.match(
    await refusal(rig),
    new RegExp(`^${EX_UNAVAILABLE}: ttyspyd: .*/socket is there and is not a socket; move it away$`),
  );
  t.equal(statSync(rig.socket).size, 8);
});

t.test('a second ttyspyd is refused, and the first goes on', async t => {
  const rig = make(t);
  await rig.run();
  const first = rig.child;
  t.match(await refusal(rig), /^69: ttyspyd: somebody listens on .*; stop the other ttyspyd first$/);
  rig.child = first;
  serves(t, rig);
});

t.test('a directory that is not there', async t => {
  const rig = make(t, ['socket /nonexistent/socket']);
  t.match(await refusal(rig), /^69: ttyspyd: cannot listen on .*ENOENT$/);
});

/** As systemd does it: the process that reads LISTEN_PID is the one that the shell becomes. */
const passed = (count: number, names = 'ttyspyd') =>
  `export LISTEN_PID=$$ LISTEN_FDS=${count} LISTEN_FDNAMES=${names}`;

t.test('passed by systemd', async t => {
  const rig = make(t);
  const listener = native.listen(rig.socket, 0o666, 16);
  await rig.run(passed(1), [listener]);
  native.close(listener);
  serves(t, rig);
});

t.test('passed by systemd without a name', async t => {
  const rig = make(t);
  const listener = native.listen(rig.socket, 0o666, 16);
  t.match(await refusal(rig, `${passed(1)}; unset LISTEN_FDNAMES`, [listener]), /^69: .*named unknown/);
  native.close(listener);
});

t.test('what systemd passes must be the one socket that is ours', async t => {
  const rig = make(t);
  const listener = native.listen(rig.path('own'), 0o666, 16);
  const [readEnd, writeEnd] = native.pipe();
  const [one, other] = native.socketPair();
  for (const [what, count, names, fds, message] of [
    ['another name', 1, 'web', [listener], /named web; its socket unit must name it ttyspyd/],
    ['two', 2, 'ttyspyd:ttyspyd', [listener, listener], /passed 2 descriptors, not one/],
    ['a pipe', 1, 'ttyspyd', [readEnd], /ENOTSOCK|not a listening Unix stream socket/],
    ['a connected socket', 1, 'ttyspyd', [one], /not a listening Unix stream socket; use ListenStream/],
    ['nothing', 1, 'ttyspyd', [], /EBADF|ENOTSOCK|not a listening/],
  ] as const) {
    const said = await refusal(rig, passed(count, names), fds);
    t.match(said, /^69: ttyspyd: /, what);
    t.match(said, message, what);
  }
  for (const fd of [listener, readEnd, writeEnd, one, other]) native.close(fd);
});

t.test("another process's LISTEN_PID means nothing", async t => {
  const rig = make(t);
  await rig.run('export LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=web');
  serves(t, rig);
});

/** A spool without room: sessions wait, and go on when there is room again; nothing is lost, nothing is torn. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { native } from '../src/os/native.ts';
import { Kind } from '../src/session/event.ts';
import { sessionId } from '../src/session/metadata.ts';
import { account, isRoot, needsRoot } from './support/account.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';
import { Command, Terminal, Visitor, visit } from './support/visitor.ts';

/** Something the archive has not acknowledged yet. @returns its path, to be removed as the uplink would */
function backlog(rig: DaemonRig, size: number): string {
  const path = join(rig.spool, `${sessionId(randomBytes(10))}.done`);
  writeFileSync(path, Buffer.alloc(size));
  if (isRoot) chownSync(path, account('daemon').uid, account('daemon').gid);
  return path;
}

/** Writes as much as goes for a while. @returns bytes that went */
async function push(fd: number, bytes: Buffer, from: number, patience: number): Promise<number> {
  let at = from;
  for (let idle = 0; at < bytes.length && idle < patience; ) {
    const written = native.write(fd, bytes, at, bytes.length - at);
    at += written;
    idle = written > 0 ? 0 : idle + 10;
    if (written === 0) await sleep(10);
  }
  return at;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** More than pipes and sockets hold on the way. */
const OUTPUT = randomBytes(1 << 20);

/** A command that prints OUTPUT into a spool that is nearly full, and what its user sees of it. */
async function runInto(t: Test, rig: DaemonRig, makeRoom: () => void): Promise<void> {
  const command = new Command();
  const answer = visit(rig.socket, { mode: 'command', claims: {} }, command.fds);
  command.handedOver();
  if (!answer?.ok) throw new Error(JSON.stringify(answer));
  const [, stdout] = command.command;
  const [, user] = command.user;
  for (const fd of [stdout, user]) native.setNonBlocking(fd, 1);
  const seen: Buffer[] = [];
  const look = () => {
    const buffer = Buffer.alloc(100_000);
    const length = native.read(user, buffer, 0, buffer.length);
    if (length > 0) seen.push(buffer.subarray(0, length));
  };
  const looking = setInterval(look, 2);

  const sent = await push(stdout, OUTPUT, 0, 1_000);
  t.ok(sent < OUTPUT.length, `it waits after ${sent} bytes`);
  const recorded = rig.session(answer.id).bytes(Kind.output);
  const shown = Buffer.concat(seen);
  t.ok(
    shown.length > 0 && shown.equals(recorded.subarray(0, shown.length)),
    'shown is only what is recorded',
  );
  t.match(
    visit(rig.socket, { mode: 'tty', claims: {} }, new Terminal().fds),
    { ok: false, code: 'spool', message: /no room/ },
    'nobody else gets in',
  );

  makeRoom();
  t.equal(await push(stdout, OUTPUT, sent, 20_000), OUTPUT.length, 'it goes on');
  command.exit();
  command.endInput();
  const session = await rig.ended(answer.id);
  await until(() => Buffer.concat(seen).length === OUTPUT.length);
  clearInterval(looking);
  command.leave();
  t.equal(sha256(session.bytes(Kind.output)), sha256(OUTPUT), 'recorded, byte for byte');
  t.equal(sha256(Buffer.concat(seen)), sha256(OUTPUT), 'shown, byte for byte');
  t.match(session.end, { streams: { output: { bytes: OUTPUT.length, recorded: OUTPUT.length } } });
}

t.test('spool_limit', async t => {
  const rig = new DaemonRig(['spool_limit 2M']);
  t.teardown(() => rig.end());
  mkdirSync(rig.spool, { mode: 0o700 });
  const waiting = backlog(rig, 1_700_000);
  await rig.run();
  await runInto(t, rig, () => rmSync(waiting));
});

t.test('a full file system (ENOSPC)', { skip: needsRoot }, async t => {
  const rig = new DaemonRig();
  mkdirSync(rig.spool);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', rig.spool]);
  t.teardown(async () => {
    await rig.stop('SIGKILL');
    execFileSync('umount', ['-l', rig.spool]);
    await rig.end();
  });
  await rig.run();
  const waiting = backlog(rig, 1_700_000);
  t.ok(statfsSync(rig.spool).bavail * 4096 < 500_000);
  await runInto(t, rig, () => rmSync(waiting));
});

t.test('the end of a session waits for room, too', async t => {
  const rig = await DaemonRig.start(['spool_limit 2M']);
  t.teardown(() => rig.end());
  const terminal = new Terminal();
  const visitor = new Visitor(rig.socket);
  const answer = visitor.greet({ mode: 'tty', claims: {} }, terminal.fds);
  terminal.handedOver();
  if (!answer?.ok) throw new Error(JSON.stringify(answer));
  const waiting = backlog(rig, 3_000_000);
  native.write(terminal.shell, Buffer.from('last words'), 0, 10);
  await sleep(1_500);
  terminal.exit();
  await sleep(500);
  t.equal(rig.spooled('live').length, 1, 'not ended yet');
  rmSync(waiting);
  const session = await rig.ended(answer.id);
  t.equal(session.bytes(Kind.output).toString(), 'last words');
  const buffer = Buffer.alloc(100);
  t.equal(native.read(terminal.user, buffer, 0, 100), 10, 'shown as well');
  terminal.hangUp();
  visitor.leave();
});

t.test('a spool that is not there any more: nobody gets in, nothing crashes', async t => {
  const rig = await DaemonRig.start();
  t.teardown(() => rig.end());
  rmSync(rig.spool, { recursive: true });
  const answer = visit(rig.socket, { mode: 'tty', claims: {} }, new Terminal().fds);
  t.match(answer, { ok: false, code: 'spool' });
  await sleep(300);
  t.ok(rig.alive);
});

t.test('an output that only ever stops: the original client waits as well', async t => {
  const rig = await DaemonRig.start(['spool_limit 1M']);
  t.teardown(() => rig.end());
  const visitor = new Visitor(rig.socket);
  native.setNonBlocking(visitor.fd, 1);
  visitor.say(Buffer.alloc(512));
  const sent = await push(visitor.fd, Buffer.concat([OUTPUT, OUTPUT, OUTPUT]), 0, 1_000);
  t.ok(sent < 2 * OUTPUT.length, `it waits after ${sent} bytes`);
  t.ok(rig.cpu < 5);
  visitor.leave();
});

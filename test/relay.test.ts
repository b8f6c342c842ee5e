/** What ttyspyd relays arrives whole and in order, also when a side ends while something is on its way. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { errorCode, native } from '../src/os/native.ts';
import { encodeHello } from '../src/session/hello.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';
import { Command, Terminal, Visitor, visit } from './support/visitor.ts';

const rig = await DaemonRig.start();
t.teardown(() => rig.end());

/** Text in which every place looks different, so that nothing can be missing or change places unseen. */
const text = (length: number) =>
  Buffer.from(
    Array.from({ length: Math.ceil(length / 8) }, (_, i) => String(i).padStart(7)).join('\n'),
  ).subarray(0, length);

/** Writes what there is room for now. */
function fill(fd: number, bytes: Buffer): Buffer {
  return bytes.subarray(0, native.write(fd, bytes, 0, bytes.length));
}

/** Reads to the end or so many bytes, however long that takes. */
async function readAll(fd: number, most = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  for (let total = 0; ; ) {
    let length = 0;
    try {
      length = native.read(fd, buffer, 0, buffer.length);
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error; // The end of a pty.
    }
    if (length > 0) pieces.push(Buffer.from(buffer.subarray(0, length)));
    total += Math.max(length, 0);
    if (length === 0 || total >= most) return Buffer.concat(pieces);
    if (length < 0) await sleep(5);
  }
}

t.test('a command on sockets that ends without having read its input', async t => {
  const pipes = new Command();
  const [ours, theirs] = native.socketPair();
  const [user, outer] = native.socketPair();
  const [, , stderr, , , innerStderr] = pipes.fds as [number, number, number, number, number, number];
  const answer = visit(rig.socket, { mode: 'command', claims: {} }, [
    outer,
    outer,
    stderr,
    ours,
    ours,
    innerStderr,
  ]);
  native.close(outer);
  native.close(ours);
  pipes.handedOver();
  native.setNonBlocking(user, 1);
  native.setNonBlocking(theirs, 1);
  native.write(user, Buffer.from('not read'), 0, 8);
  await sleep(100);
  // More than one read takes must wait when the error (ECONNRESET) is seen.
  rig.child.kill('SIGSTOP');
  const written = fill(theirs, text(150_000));
  native.close(theirs);
  pipes.exit();
  rig.child.kill('SIGCONT');
  t.ok(written.length > 65_536, `${written.length} bytes`);
  t.ok((await readAll(user, written.length)).equals(written), 'the user gets all of it');
  native.close(user);
  pipes.leave();
  if (answer?.ok)
    t.match((await rig.ended(answer.id)).end, { streams: { output: { bytes: written.length } } });
});

t.test('a key typed after the shell ended, while its output waits for a slow terminal', async t => {
  for (let i = 0; i < 5; i++) {
    const terminal = new Terminal();
    const visitor = new Visitor(rig.socket);
    visitor.say(encodeHello({ mode: 'tty', claims: {} }), terminal.fds);
    t.match(visitor.answer(), { ok: true });
    terminal.handedOver();
    native.setNonBlocking(terminal.shell, 1);
    const wanted = text(400_000);
    let written = 0;
    for (let idle = 0; idle < 10; ) {
      const length = fill(terminal.shell, wanted.subarray(written)).length;
      written += length;
      idle = length > 0 ? 0 : idle + 1;
      await sleep(5);
    }
    terminal.exit();
    for (let key = 0; key < 5; key++) {
      try {
        native.write(terminal.user, Buffer.from('x'), 0, 1);
      } catch {
        break; // EIO: everything fitted, and the terminal is hung up already.
      }
      await sleep(5);
    }
    const shown = await readAll(terminal.user);
    t.ok(shown.equals(wanted.subarray(0, written)), `${shown.length} of ${written} bytes, in order`);
    terminal.hangUp();
    visitor.leave();
  }
});

t.test("the original's client, with more behind its hello than one event holds", async t => {
  const visitor = new Visitor(rig.socket);
  const output = text(70_000);
  visitor.say(Buffer.alloc(511));
  await sleep(100);
  visitor.say(Buffer.concat([Buffer.alloc(1), output]));
  const started = () => rig.logged('session started').find(({ mode }) => mode === 'legacy');
  await until(() => started() !== undefined);
  visitor.leave();
  const session = await rig.ended(started()?.['session'] as string);
  t.match(session.end, { reason: 'exit', streams: { output: { bytes: output.length } } });
  t.equal(rig.logged('session refused').length, 0);
});

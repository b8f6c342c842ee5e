/** ttyspyd and descriptors that are not what the hello says: each is refused, none stays open, nobody waits. */
import { execFileSync } from 'node:child_process';
import { chownSync, closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { native } from '../src/os/native.ts';
import { type Answer, encodeHello, type Hello } from '../src/session/hello.ts';
import { isRoot, needsRoot, nobody } from './support/account.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';
import { Command, Terminal, Visitor, visit } from './support/visitor.ts';

const O_PATH = 0o10000000;
const TTY: Hello = { mode: 'tty', claims: {} };
const COMMAND: Hello = { mode: 'command', claims: {} };

/** So few that a leak of one in each refusal is soon felt, whoever looks. */
const MOST_OPEN = 120;

const rig = new DaemonRig();
await rig.run(`ulimit -n ${MOST_OPEN}`);
t.teardown(() => rig.end());
const descriptors = isRoot ? rig.descriptors : 0;

/** Opened for the test, closed after it. */
const opened: number[] = [];
const keep = (...fds: number[]): number[] => {
  opened.push(...fds);
  return fds;
};
const open = (path: string, flags: string | number) => keep(openSync(path, flags))[0] as number;
t.teardown(() => {
  for (const fd of opened) closeSync(fd);
});

const file = join(rig.directory, 'file');
execFileSync('touch', [file]);
const terminal = new Terminal();
const command = new Command();
const [outer, inner] = terminal.fds;
const [pipeRead, pipeWrite] = keep(...native.pipe()) as [number, number];
const [one] = keep(...native.socketPair()) as [number, number];
const listening = keep(native.listen(join(rig.directory, 'own'), 0o600, 1))[0] as number;

/** A few visits: what leaks shows. */
async function refusal(hello: Hello, fds: readonly number[]): Promise<Answer | null> {
  let answer: Answer | null = null;
  for (let i = 0; i < 6; i++) {
    answer = visit(rig.socket, hello, fds);
    // A log that nobody reads would stop ttyspyd.
    await turn();
  }
  return answer;
}

async function nothingLeftOpen(t: Test): Promise<void> {
  if (!isRoot) return;
  await until(() => rig.descriptors <= descriptors);
  t.equal(rig.descriptors, descriptors, 'nothing is left open');
}

/** One of a command's six replaced. */
function instead(place: number, fd: number): number[] {
  return [...command.fds].with(place, fd);
}

const WRONG: readonly [what: string, Hello, fds: readonly number[], message: RegExp][] = [
  ['no descriptor', TTY, [], /^0 descriptors came .* not 2$/],
  ['one for a terminal', TTY, [outer], /^1 descriptors/],
  ['three for a terminal', TTY, [outer, inner, inner], /^3 descriptors/],
  ['none for a command', COMMAND, [], /^0 descriptors .* 4 or 6$/],
  ['five for a command', COMMAND, command.fds.slice(1), /^5 descriptors/],
  ['a file as outer', TTY, [open(file, 'r+'), inner], /outer descriptor is no terminal/],
  ['a file as inner', TTY, [outer, open(file, 'r+')], /inner descriptor is not the master/],
  ['/dev/null as outer', TTY, [open('/dev/null', 'r+'), inner], /outer descriptor is no terminal/],
  ['/dev/null as inner', TTY, [outer, open('/dev/null', 'r+')], /inner descriptor is not the master/],
  ['/dev/zero as outer', TTY, [open('/dev/zero', 'r+'), inner], /outer descriptor is no terminal/],
  ['a directory as outer', TTY, [open('/', 'r'), inner], /outer descriptor is no terminal/],
  ['a directory as inner', TTY, [outer, open('/', 'r')], /inner descriptor is not the master/],
  [
    'a terminal by O_PATH',
    TTY,
    [open(native.ttyName(outer), O_PATH), inner],
    /outer descriptor is no terminal/,
  ],
  ['a master as outer', TTY, [inner, inner], /outer descriptor is the master/],
  ['a slave as inner', TTY, [outer, outer], /inner descriptor is not the master/],
  ['a pipe as outer', TTY, [pipeRead, inner], /outer descriptor is no terminal/],
  ['a socket as outer', TTY, [one, inner], /outer descriptor is no terminal/],
  [
    'a terminal only to be read',
    TTY,
    [open(native.ttyName(outer), constants.O_RDONLY | constants.O_NOCTTY), inner],
    /not open for both ways/,
  ],
  [
    'a terminal only to be written',
    TTY,
    [open(native.ttyName(outer), constants.O_WRONLY | constants.O_NOCTTY), inner],
    /not open for both ways/,
  ],
  ['a file as stdin', COMMAND, instead(0, open(file, 'r')), /input, reading: neither a pipe nor a/],
  ['a file as stdout', COMMAND, instead(1, open(file, 'r+')), /output, writing: neither/],
  ['/dev/null as stderr', COMMAND, instead(2, open('/dev/null', 'r+')), /stderr, writing: neither/],
  ['a terminal as stdin', COMMAND, instead(0, outer), /input, reading: neither/],
  ['a directory as inner stdout', COMMAND, instead(4, open('/', 'r')), /output, reading: neither/],
  ['a pipe by O_PATH', COMMAND, instead(0, open(`/proc/self/fd/${pipeRead}`, O_PATH)), /EBADF|not open/],
  ['the writing end as stdin', COMMAND, instead(0, pipeWrite), /input, reading: not open for that/],
  ['the reading end as stdout', COMMAND, instead(1, pipeRead), /output, writing: not open for that/],
  ['the reading end as inner stdin', COMMAND, instead(3, pipeRead), /input, writing: not open for that/],
  ['the writing end as inner stderr', COMMAND, instead(5, pipeWrite), /stderr, reading: not open for that/],
  ['a socket that listens', COMMAND, instead(0, listening), /input, reading: neither/],
];

for (const [what, hello, fds, message] of WRONG) {
  t.test(what, async t => {
    t.match(await refusal(hello, fds), { ok: false, code: 'descriptor', message });
    t.equal(rig.spooled('live').length + rig.spooled('done').length, 0, 'no session came of it');
    await nothingLeftOpen(t);
  });
}

t.test('more than any hello has', async t => {
  for (let i = 0; i < 12; i++) {
    const visitor = new Visitor(rig.socket);
    visitor.say(Buffer.from('\xf5', 'latin1'), Array(8).fill(pipeRead));
    t.match(visitor.answer(), { ok: false, code: 'malformed' });
    visitor.leave();
  }
});

t.test('descriptors with the hello of the original', async t => {
  t.match(
    (() => {
      const visitor = new Visitor(rig.socket);
      visitor.say(Buffer.alloc(512), [pipeRead]);
      const answer = visitor.answer();
      visitor.leave();
      return answer;
    })(),
    { ok: false, code: 'descriptor' },
  );
});

t.test("another's terminal", { skip: needsRoot }, async t => {
  const theirs = new Terminal();
  chownSync(native.ttyName(theirs.outer), nobody.uid, nobody.gid);
  t.match(await refusal(TTY, [theirs.outer, inner]), { ok: false, code: 'descriptor', message: /not yours/ });
  theirs.handedOver();
  theirs.exit();
  theirs.hangUp();
});

t.test('sockets of other sorts', async t => {
  const make = `import socket, sys, os
kind = sys.argv[1]
if kind == 'udp': s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
elif kind == 'tcp':
    l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(); s = socket.create_connection(l.getsockname())
elif kind == 'dgram': s, keep = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
elif kind == 'seqpacket': s, keep = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
elif kind == 'epoll': import select; s = select.epoll()
elif kind == 'eventfd': s = os.fdopen(os.eventfd(0), 'rb', 0)
elif kind == 'unconnected': s = socket.socket(socket.AF_UNIX)
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[2])
p = [os.pipe() for _ in range(6)]
fds = [s.fileno(), p[1][1], p[2][1], p[3][1], p[4][0], p[5][0]]
socket.send_fds(c, [bytes.fromhex(sys.argv[3])], fds)
sys.stdout.write(c.recv(4096)[4:].decode())`;
  const hello = encodeHello(COMMAND).toString('hex');
  for (const kind of ['udp', 'tcp', 'dgram', 'seqpacket', 'epoll', 'eventfd', 'unconnected']) {
    let said = '';
    try {
      said = execFileSync('python3', ['-c', make, kind, rig.socket, hello], {
        encoding: 'utf8',
        timeout: 20_000,
      });
    } catch (error) {
      t.pass(kind, { skip: `no python3 that sends descriptors: ${(error as Error).message}` });
      continue;
    }
    t.match(JSON.parse(said), { ok: false, code: 'descriptor', message: /input, reading: neither/ }, kind);
  }
});

t.test('the connection itself, and one more to ttyspyd', async t => {
  const own = new Command();
  const visitor = new Visitor(rig.socket);
  const second = new Visitor(rig.socket);
  visitor.say(encodeHello(COMMAND), [...own.fds].with(0, visitor.fd).with(1, second.fd));
  visitor.leave();
  second.leave();
  own.close();
  await until(() => rig.spooled('done').length === 1);
  t.ok(rig.alive);
});

t.test('after all that it serves, and nothing is left open', async t => {
  const visitor = new Visitor(rig.socket);
  const answer = visitor.greet(TTY, terminal.fds);
  t.match(answer, { ok: true });
  terminal.handedOver();
  terminal.exit();
  terminal.hangUp();
  command.close();
  if (answer?.ok) t.match(await rig.ended(answer.id), { end: { reason: /exit|hangup/ } });
  visitor.leave();
  await nothingLeftOpen(t);
});

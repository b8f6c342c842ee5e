/** ttyspyd and what comes first on a connection: cut, in pieces, wrong, late, or never. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type Answer, encodeHello, type Hello } from '../src/session/hello.ts';
import { MAX_HELLO } from '../src/session/limits.ts';
import { isRoot, needsRoot } from './support/account.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';
import { bitFlips } from './support/random.ts';
import { Command, Terminal, Visitor, visit } from './support/visitor.ts';

const rig = await DaemonRig.start(['max_sessions_per_user 500']);
t.teardown(() => rig.end());
const descriptors = isRoot ? rig.descriptors : 0;

const ORIGINAL = readFileSync(join(import.meta.dirname, 'fixtures/original/client-hello.bin'));
const HELLO: Hello = { mode: 'tty', claims: { term: 'xterm', argv: ['-bash'] } };
const bytes = encodeHello(HELLO);

const refused = () => rig.logged('session refused');

/** Fails unless a session can be begun. */
function serves(t: Test): void {
  const terminal = new Terminal();
  const answer = visit(rig.socket, HELLO, terminal.fds);
  terminal.handedOver();
  terminal.exit();
  terminal.hangUp();
  t.match(answer, { ok: true }, 'it still takes sessions');
}

t.test('ours, cut at every length and hung up', async t => {
  for (let length = 1; length < bytes.length; length++) {
    const visitor = new Visitor(rig.socket);
    visitor.say(bytes.subarray(0, length));
    visitor.leave();
  }
  await until(() => refused().length >= bytes.length - 1);
  t.ok(refused().every(({ reason }) => reason === 'hung up within the hello'));
});

t.test("the original's, cut at every length and hung up: nobody spins (fault 4)", async t => {
  const before = refused().length;
  for (let length = 1; length < ORIGINAL.length; length++) {
    const visitor = new Visitor(rig.socket);
    visitor.say(ORIGINAL.subarray(0, length));
    visitor.leave();
  }
  await until(() => refused().length >= before + ORIGINAL.length - 1);
  const cpu = rig.cpu;
  await sleep(1_000);
  t.ok(rig.cpu - cpu < 0.5, `${rig.cpu - cpu} s of CPU in a second`);
  t.equal(rig.spooled('live').length + rig.spooled('done').length, 0, 'no session came of it');
});

t.test('nothing at all, and hung up', async t => {
  const before = refused().length;
  for (let i = 0; i < 100; i++) new Visitor(rig.socket).leave();
  serves(t);
  t.equal(refused().length, before, 'not worth a word');
});

t.test('one byte at a time', async t => {
  const terminal = new Terminal();
  const visitor = new Visitor(rig.socket);
  for (const [i, byte] of bytes.entries()) visitor.say(Buffer.of(byte), i === 0 ? terminal.fds : []);
  const answer = visitor.answer();
  t.match(answer, { ok: true });
  terminal.handedOver();
  terminal.exit();
  terminal.hangUp();
  visitor.leave();
  if (answer?.ok) t.match(rig.session(answer.id).start, { claims: HELLO.claims, mode: 'tty' });
});

t.test('descriptors that come late', async t => {
  const terminal = new Terminal();
  const visitor = new Visitor(rig.socket);
  visitor.say(bytes.subarray(0, 5));
  await sleep(50);
  visitor.say(bytes.subarray(5), terminal.fds);
  t.match(visitor.answer(), { ok: false, code: 'malformed', message: /first byte/ });
  visitor.leave();
  terminal.handedOver();
  terminal.exit();
  terminal.hangUp();
});

t.test('flipped bits', async t => {
  const answers: { [code: string]: number } = {};
  for (const flipped of bitFlips(bytes)) {
    const visitor = new Visitor(rig.socket);
    visitor.say(flipped);
    visitor.finish();
    const answer: Answer | null = visitor.answer();
    // Where a bit of a claim flipped the hello is as good as before, but for the descriptors that it came without.
    const code = answer === null ? 'none' : answer.ok ? 'ok' : answer.code;
    answers[code] = (answers[code] ?? 0) + 1;
    visitor.leave();
    // A log that nobody reads would stop ttyspyd.
    await turn();
  }
  t.same(Object.keys(answers).toSorted(), ['descriptor', 'malformed'], JSON.stringify(answers));
});

t.test('too long', async t => {
  const header = Buffer.from(bytes.subarray(0, 12));
  header.writeUInt32BE(MAX_HELLO + 1, 8);
  const visitor = new Visitor(rig.socket);
  visitor.say(header);
  t.match(visitor.answer(), {
    ok: false,
    code: 'malformed',
    message: 'hello of 65537 bytes, the most is 65536',
  });
  visitor.leave();
});

t.test('as long as may be, whole and in pieces of a hundred bytes', async t => {
  const long = encodeHello({ mode: 'command', claims: { ssh_original_command: 'x'.repeat(MAX_HELLO - 70) } });
  t.ok(long.length > MAX_HELLO - 100, `${long.length} bytes`);
  for (const size of [long.length, 100]) {
    const command = new Command();
    const visitor = new Visitor(rig.socket);
    for (let at = 0; at < long.length; at += size) {
      visitor.say(long.subarray(at, at + size), at === 0 ? command.fds : []);
    }
    const answer = visitor.answer();
    t.match(answer, { ok: true });
    visitor.leave();
    command.close();
    if (answer?.ok) t.match(rig.session(answer.id).start.claims, { ssh_original_command: /^x{60000,}$/ });
  }
});

t.test('silence: closed after five seconds, and the others are served meanwhile', async t => {
  const silent = [new Visitor(rig.socket), new Visitor(rig.socket)];
  silent[1]?.say(bytes.subarray(0, 9));
  const began = performance.now();
  serves(t);
  for (const visitor of silent) {
    t.match(visitor.answer(), { ok: false, code: 'malformed', message: 'no hello in 5 s' });
    visitor.leave();
  }
  t.ok(performance.now() - began > 4_500);
});

t.test('many that say nothing keep only their own user out', async t => {
  const silent = Array.from({ length: 140 }, () => new Visitor(rig.socket));
  const refusals = silent.slice(128).map(visitor => visitor.answer());
  t.ok(refusals.every(answer => answer !== null && !answer.ok && answer.code === 'user-limit'));
  for (const visitor of silent) visitor.leave();
  await sleep(100);
  serves(t);
});

t.test('nothing is left open', { skip: needsRoot }, async t => {
  await until(() => rig.descriptors <= descriptors);
  t.equal(rig.descriptors, descriptors);
});

/** What a crash of ttyspyd left in the spool gets an end when it starts again. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeEvent, Kind } from '../src/session/event.ts';
import { type SessionStart, sessionId } from '../src/session/metadata.ts';
import { account, isRoot } from './support/account.ts';
import { DaemonRig } from './support/daemon_rig.ts';

const rig = new DaemonRig();
t.teardown(() => rig.end());
mkdirSync(rig.spool, { mode: 0o700 });

let ids = 0;

/** A spool file as it lay there when the machine came back. @returns the session's id */
function left(events: Uint8Array, state = 'live', line?: string): string {
  const id = sessionId(new Uint8Array(10).fill(++ids));
  const start: SessionStart = {
    version: 1,
    id,
    hostname: 'vm',
    username: 'alice',
    gecos: '',
    started: '2026-11-21T21:24:20.123456Z',
    mode: 'tty',
    rows: 24,
    columns: 80,
    kernel: null,
    claims: {},
  };
  writeFileSync(
    join(rig.spool, `${id}.${state}`),
    Buffer.concat([Buffer.from(line ?? `${JSON.stringify(start)}\n`), events]),
  );
  return id;
}

const event = (time: number, text: string, kind: Kind = Kind.output) =>
  encodeEvent({ time, kind, bytes: Buffer.from(text) });
const stream = Buffer.concat([event(5, 'one'), event(1_000_000, 'two')]);
const whole = left(stream);
const empty = left(Buffer.alloc(0));
const torn = Array.from({ length: 30 }, (_, i) => left(stream.subarray(0, i)));
const garbage = left(Buffer.concat([stream, Buffer.alloc(4096)]));
const end = JSON.stringify({ reason: 'exit', status: 7, signal: null, streams: {} });
const complete = left(Buffer.concat([stream, event(2_000_000, end, Kind.exit)]));
const headless = left(Buffer.alloc(0), 'live', '{"version":1');
const done = left(stream, 'done');
writeFileSync(join(rig.spool, 'README'), 'no spool file');
if (isRoot) {
  const { uid, gid } = account('daemon');
  for (const name of [
    '',
    'README',
    ...[whole, empty, ...torn, garbage, complete, headless].map(id => `${id}.live`),
    `${done}.done`,
  ]) {
    chownSync(join(rig.spool, name), uid, gid);
  }
}
await rig.run();

const GONE = { reason: 'daemon-gone', status: null, signal: null };

t.test('whole events are kept, an end comes behind them', async t => {
  const session = rig.session(whole);
  t.match(session.end, GONE);
  t.equal(session.bytes(Kind.output).toString(), 'onetwo');
  t.equal(session.events.at(-1)?.time, 1_000_000);
  t.match(rig.session(empty), { end: GONE, events: [{ time: 0, kind: Kind.exit }] });
});

t.test('a torn last event is cut off, wherever it was torn', async t => {
  for (const [length, id] of torn.entries()) {
    const session = rig.session(id);
    t.match(session.end, GONE);
    t.equal(session.bytes(Kind.output).toString(), length >= 15 ? 'one' : '', `${length} bytes`);
  }
});

t.test('zeros, as a power cut leaves them, are cut off', async t => {
  t.equal(rig.session(garbage).bytes(Kind.output).toString(), 'onetwo');
  t.match(rig.session(garbage).end, GONE);
});

t.test('one that had its end only gets its name', async t => {
  t.match(rig.session(complete).end, { reason: 'exit', status: 7 });
  t.equal(rig.session(complete).events.length, 3);
});

t.test('what cannot be understood stays as it is', async t => {
  t.same(rig.spooled('live'), [`${headless}.live`]);
  t.match(rig.logged('spool file cannot be closed; left as it is'), [{ session: headless }]);
  t.equal(readFileSync(join(rig.spool, 'README'), 'utf8'), 'no spool file');
  t.equal(rig.session(done).end, null, 'a done one is not looked at');
});

t.test('each is told in the log', async t => {
  t.equal(rig.logged('session was cut off by the end of ttyspyd; closed').length, 34);
});

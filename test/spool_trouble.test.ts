/** The spool's own troubles: each waits or is over, none is thrown into ttyspyd's event loop. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Spool } from '../src/daemon/spool.ts';
import { Kind } from '../src/session/event.ts';
import { type SessionEnd, type SessionStart, sessionId } from '../src/session/metadata.ts';
import { readSpoolFile } from './support/spooled_session.ts';

const START: SessionStart = {
  version: 1,
  id: sessionId(Buffer.from('0123456789')),
  hostname: 'vm',
  username: 'alice',
  gecos: '',
  started: '2026-11-21T21:24:20.123Z',
  mode: 'tty',
  rows: 24,
  columns: 80,
  kernel: null,
  claims: {},
};
const END: SessionEnd = { reason: 'exit', status: 0, signal: null, streams: {} };

function spoolOf(t: Test, limit = 1 << 20): Spool {
  return new Spool({ spool_path: join(t.testdir({}), 'spool'), spool_limit: limit, spool_sync: 10 });
}

t.test('no room for the final name: asked again, it ends once', async t => {
  const spool = spoolOf(t);
  const recording = spool.create(START);
  const done = join(spool.path, `${START.id}.done`);
  mkdirSync(done);
  t.equal(recording.end(END), false);
  t.equal(recording.end(END), false);
  rmSync(done, { recursive: true });
  t.equal(recording.end(END), true);
  t.equal(readSpoolFile(done).events.length, 1);
});

t.test('what comes after the end is not recorded, least of all in the file of another', async t => {
  const spool = spoolOf(t);
  const first = spool.create(START);
  t.equal(first.note(Kind.output, Buffer.from('first')), true);
  first.end(END);
  await sleep(100); // Its descriptor is closed once it is on the disk; the next session gets the number.
  const id = sessionId(Buffer.from('abcdefghij'));
  const second = spool.create({ ...START, id });
  t.equal(first.note(Kind.resize, Buffer.alloc(4)), true, 'nobody needs to ask again');
  second.note(Kind.output, Buffer.from('second'));
  second.end(END);
  t.equal(
    readSpoolFile(join(spool.path, `${id}.done`))
      .bytes(Kind.output)
      .toString(),
    'second',
  );
  t.equal(readSpoolFile(join(spool.path, `${START.id}.done`)).events.length, 2);
});

t.test('a file that somebody removed', async t => {
  const spool = spoolOf(t);
  const recording = spool.create(START);
  rmSync(join(spool.path, `${START.id}.live`));
  t.equal(recording.end(END), true);
});

t.test('a directory that cannot be read while somebody waits for room', async t => {
  const spool = spoolOf(t, 500);
  const recording = spool.create(START);
  const waits = () => !recording.note(Kind.output, Buffer.alloc(100));
  while (!waits());
  const room = new Promise<void>(resolve => {
    spool.whenRoom(resolve);
  });
  renameSync(spool.path, `${spool.path}.away`);
  await sleep(1_500);
  t.ok(waits(), 'it still waits');
  for (const name of readdirSync(`${spool.path}.away`)) {
    t.ok(readFileSync(join(`${spool.path}.away`, name)).length > 0);
    rmSync(join(`${spool.path}.away`, name));
  }
  renameSync(`${spool.path}.away`, spool.path);
  await room;
  t.notOk(waits(), 'and goes on when there is room');
});

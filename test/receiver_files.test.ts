import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { Batch } from '../src/receiver/batch.ts';
import { type CommitPoint, CommitPointSearch } from '../src/receiver/commit_point.ts';
import type { ReceiverLimits } from '../src/receiver/limits.ts';
import { Sessions } from '../src/receiver/sessions.ts';
import { commitLine, timingHeader } from '../src/receiver/timing.ts';
import { firstLineLength, transcriptHeader, transcriptTrailer } from '../src/receiver/transcript.ts';
import { type Event, encodeResize, Kind } from '../src/session/event.ts';
import { END, HEADER, startOf } from './fixtures/receiver/rig.ts';

const START = startOf();
const FIRST = firstLineLength(START);
const RUNS = { seed: 20261121, numRuns: 300 };

const bytes = fc.uint8Array({ maxLength: 40 });
const event: fc.Arbitrary<Omit<Event, 'time'> & { delay: number }> = fc.oneof(
  fc.record({ delay: fc.nat(5e6), kind: fc.constantFrom(Kind.output, Kind.stderr, Kind.input), bytes }),
  fc.record({
    delay: fc.nat(5e6),
    kind: fc.constant(Kind.resize),
    bytes: fc.tuple(fc.nat(65_535), fc.nat(65_535)).map(([rows, columns]) => encodeResize(rows, columns)),
  }),
  fc.record({
    delay: fc.nat(5e6),
    kind: fc.constant(Kind.marker),
    bytes: fc.string({ maxLength: 9_000 }).map(text => Buffer.from(JSON.stringify({ type: 'note', text }))),
  }),
);

/** A timing file as appends of some events each make it, and the commit points in it. */
function recorded(appends: readonly (readonly (Omit<Event, 'time'> & { delay: number })[])[]) {
  const header = transcriptHeader(START);
  let timing = timingHeader(START, header.length - FIRST);
  let at: CommitPoint = {
    offset: 0,
    time: 0,
    transcript: header.length,
    timing: timing.length,
    input: 0,
    stream: 'stdout',
  };
  const points = [at];
  for (const [i, events] of appends.entries()) {
    const batch = new Batch(at);
    for (const { delay, kind, bytes } of events) batch.add({ kind, bytes, time: batch.time + delay });
    const size = (pieces: readonly Uint8Array[]) => pieces.reduce((sum, piece) => sum + piece.length, 0);
    timing += batch.timing + commitLine(i + 1);
    at = {
      offset: i + 1,
      time: batch.time,
      stream: batch.stream,
      transcript: at.transcript + size(batch.output),
      input: at.input + size(batch.input),
      timing: timing.length,
    };
    points.push(at);
  }
  return { timing: Buffer.from(timing, 'latin1'), points, end: at };
}

const appends = fc.array(fc.array(event, { maxLength: 5 }), { maxLength: 5 });

function search(
  timing: Uint8Array,
  sizes: { transcript: number; input: number },
  piece = timing.length,
): CommitPoint | null {
  const search = new CommitPointSearch(FIRST, sizes);
  for (let at = 0; at < timing.length; at += piece) search.push(timing.subarray(at, at + piece));
  return search.found;
}

t.test('the last commit point is found, in pieces of any size', async () => {
  fc.assert(
    fc.property(appends, fc.integer({ min: 1, max: 50 }), (appends, piece) => {
      const { timing, end } = recorded(appends);
      const found = search(timing, end, piece);
      return (
        JSON.stringify(Object.entries(found ?? {}).sort()) === JSON.stringify(Object.entries(end).sort())
      );
    }),
    RUNS,
  );
});

t.test('files that are shorter, wherever they are cut', async () => {
  fc.assert(
    fc.property(appends, fc.nat(), fc.nat(), fc.nat(), (appends, a, b, c) => {
      const { timing, points, end } = recorded(appends);
      const cut = timing.subarray(0, a % (timing.length + 1));
      const sizes = { transcript: b % (end.transcript + 1), input: c % (end.input + 1) };
      const held = points.filter(
        point =>
          point.timing <= cut.length && point.transcript <= sizes.transcript && point.input <= sizes.input,
      );
      return search(cut, sizes)?.offset === held.at(-1)?.offset;
    }),
    RUNS,
  );
});

t.test('flipped bits: never an error, never more than there is', async () => {
  fc.assert(
    fc.property(appends, fc.nat(), (appends, bit) => {
      const { timing, end } = recorded(appends);
      const index = (bit >> 3) % timing.length;
      timing[index] = (timing[index] ?? 0) ^ (1 << (bit & 7));
      const found = search(timing, end);
      return (
        found === null ||
        (found.transcript <= end.transcript && found.input <= end.input && found.timing <= timing.length)
      );
    }),
    RUNS,
  );
});

t.test('what is no timing file', async t => {
  const none = (text: string) =>
    t.equal(search(Buffer.from(text), { transcript: 1e9, input: 1e9 }), null, text.slice(0, 20));
  for (const text of [
    '',
    '\n',
    'x\n',
    'O 1 2\n',
    'H 0.000000 COMMIT x\n',
    'H 0.0 COMMIT 1\n',
    '\0'.repeat(100),
  ])
    none(text);
  none(`${'x'.repeat(10_000)}\nH 0.000000 COMMIT 1\n`);
});

t.test('the text around the bytes', async t => {
  t.equal(transcriptHeader(START).toString(), HEADER);
  t.equal(FIRST, 'Username: alice\n'.length);
  t.equal(
    transcriptHeader(startOf({ gecos: '', claims: {} })).toString(),
    HEADER.replace(/GECOS: .*/, 'GECOS: ').replace(/SSH_.*\n/, ''),
  );
  const at = Date.UTC(2026, 10, 21, 1, 2, 3, 999);
  t.equal(transcriptTrailer(at, END).toString(), '\n\nSession ended: 2026-11-21T01:02:03Z\n');
  t.match(
    transcriptTrailer(at, { ...END, reason: 'daemon-gone' }).toString(),
    /03Z\nSession cut off: the recorder ended before/,
  );
  t.match(
    transcriptTrailer(1e300, { ...END, reason: '__proto__' as never }).toString(),
    '\n\nSession ended: 9999-12-31T23:59:59Z\n',
  );
});

t.test('descriptors of idle sessions are closed, sessions idle for long forgotten', async t => {
  const store = mkdtempSync(join(tmpdir(), 'ttyspy-sessions-'));
  t.teardown(() => rmSync(store, { recursive: true }));
  const limits = { descriptorIdleMs: 1_000, sessionIdleMs: 10_000, openSessions: 3 } as ReceiverLimits;
  const sessions = new Sessions(store, limits);
  const held = () =>
    readdirSync('/proc/self/fd').filter(fd => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(store);
      } catch {
        return false;
      }
    }).length;
  const starts = Array.from({ length: 5 }, () => startOf());
  for (const start of starts) await sessions.open(start, 'fingerprint');
  const later = async (ms: number) => {
    sessions.sweep(performance.now() + ms);
    await new Promise(setImmediate);
    return held();
  };
  t.equal(held(), 10);
  t.equal(await later(0), 6, 'no more than three sessions open');
  const [first] = sessions.withId(starts[0]?.id ?? '');
  if (!first) throw new Error('not remembered');
  const batch = new Batch(first.files.at);
  batch.add({ kind: Kind.output, time: 5, bytes: Buffer.from('again') });
  await first.exclusive(() => first.files.write(batch, 17));
  await first.exclusive(() => first.files.commit());
  t.equal(first.offset, 17, 'opened again when needed');
  t.equal(await later(2_000), 0);
  t.equal(sessions.size, 5);
  t.equal(await later(20_000), 0);
  t.equal(sessions.size, 0);
  const again = await sessions.open(starts[0] ?? startOf(), 'fingerprint');
  t.match(again, { created: false, session: { offset: 17 } }, 'the files know');
  t.match(readFileSync(again.session.files.path, 'utf8'), /\n\n\nagain$/);
  await sessions.close(new Error('over'));
  t.equal(held(), 0);
});

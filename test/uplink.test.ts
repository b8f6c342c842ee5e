/** The uplink and the receiver, both real: what is in the spool comes to be in the archive. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { encodeEvent, Kind } from '../src/session/event.ts';
import { HEADER, Rig, startOf } from './fixtures/receiver/rig.ts';
import { SpoolWriter } from './fixtures/uplink/spool_writer.ts';
import { UplinkRig } from './fixtures/uplink/uplink_rig.ts';

const rig = await Rig.start();
const uplink = new UplinkRig(rig.authority.certificate, rig.client, [
  `https://localhost:${rig.port}/transcript`,
]);
t.teardown(async () => {
  await uplink.end();
  await rig.end();
});

/** Output that the archive holds of a session, as far as it goes. */
function archived(writer: SpoolWriter): { length: number; sha256: string } {
  const all = readFileSync(rig.transcript(writer.start));
  const bytes = all.subarray(HEADER.length, HEADER.length + writer.seen.length);
  return { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

function size(writer: SpoolWriter): number {
  return statSync(rig.transcript(writer.start), { throwIfNoEntry: false })?.size ?? 0;
}

t.test('what lay in the spool before the start', async t => {
  const done = new SpoolWriter(uplink.spool, startOf());
  done.output('before\r\n');
  done.event(Kind.input, Buffer.from('secret'));
  done.end();
  writeFileSync(join(uplink.spool, 'README'), 'no spool file');
  await uplink.run();
  await until(() => !uplink.has(`${done.start.id}.done`));
  t.same(archived(done), done.seen);
  t.match(rig.manifest(done.start), { offset: done.length, end: { reason: 'exit', status: 7 } });
  t.equal(readFileSync(`${rig.transcript(done.start)}.input`, 'utf8'), '\nsecret');
  t.ok(uplink.has('README'));
  renameSync(join(uplink.spool, 'README'), uplink.path('README'));
});

t.test('live, and within half a second', async t => {
  const live = new SpoolWriter(uplink.spool, startOf());
  await until(() => size(live) === HEADER.length);
  const waits: number[] = [];
  for (let i = 0; i < 30; i++) {
    await sleep(20 + ((i * 37) % 200));
    const began = performance.now();
    live.output(`line ${i}\r\n`);
    await until(() => size(live) === HEADER.length + live.seen.length);
    waits.push(performance.now() - began);
  }
  waits.sort((a, b) => a - b);
  t.comment(`latency: median ${waits[15]?.toFixed(0)} ms, most ${waits.at(-1)?.toFixed(0)} ms`);
  t.same(archived(live), live.seen);
  t.notOk('end' in rig.manifest(live.start));
  live.end();
  await uplink.emptied();
  t.match(rig.manifest(live.start), { offset: live.length });
});

t.test('an event that comes in pieces, with pauses', async t => {
  const live = new SpoolWriter(uplink.spool, startOf());
  const event = encodeEvent({ kind: Kind.output, time: 0, bytes: Buffer.from('in pieces') });
  for (const byte of event) {
    live.raw(Buffer.of(byte));
    await sleep(byte % 3 === 0 ? 120 : 10);
  }
  await until(() => size(live) === HEADER.length + 'in pieces'.length);
  live.end();
  await uplink.emptied();
  t.equal(rig.manifest(live.start).offset, live.length);
});

t.test('a tail of half an event is not sent again and again', async t => {
  const live = new SpoolWriter(uplink.spool, startOf());
  live.raw(encodeEvent({ kind: Kind.output, time: 0, bytes: Buffer.from('half') }).subarray(0, 14));
  await sleep(500);
  const before = uplink.cpu;
  await sleep(1000);
  t.ok(uplink.cpu - before < 0.5, `CPU ${uplink.cpu - before} s in a second`);
  live.raw(Buffer.from('lf'));
  live.end();
  await uplink.emptied();
  t.equal(rig.manifest(live.start).offset, live.length);
});

t.test('64 MiB, written as fast as they can be', async t => {
  const before = uplink.cpu;
  const bulk = new SpoolWriter(uplink.spool, startOf());
  const small = new SpoolWriter(uplink.spool, startOf());
  const piece = randomBytes(16_384);
  for (let i = 0; i < 4096; i++) {
    bulk.output(piece);
    if (i % 256 === 0) small.output('keystroke');
    if (i % 64 === 0) await sleep(1);
  }
  bulk.end();
  small.end();
  await uplink.emptied();
  t.comment(`CPU seconds of the uplink for 64 MiB: ${(uplink.cpu - before).toFixed(2)}`);
  t.same(archived(bulk), bulk.seen);
  t.same(archived(small), small.seen);
});

t.test('many sessions that grow at once', async t => {
  const writers = Array.from({ length: 200 }, () => new SpoolWriter(uplink.spool, startOf()));
  for (let round = 0; round < 40; round++) {
    for (const [i, writer] of writers.entries()) {
      if ((round + i) % 3 === 0) writer.output(randomBytes(1 + ((i * 131) % 3000)));
    }
    await sleep(15);
  }
  for (const writer of writers) writer.end();
  await uplink.emptied();
  t.same(
    writers.map(archived),
    writers.map(writer => writer.seen),
  );
  t.ok(writers.every(({ start, length }) => rig.manifest(start).offset === length));
});

t.test('SIGTERM in the middle; started again it goes on', async t => {
  const live = new SpoolWriter(uplink.spool, startOf());
  for (let i = 0; i < 400; i++) live.output(randomBytes(60_000));
  await sleep(30);
  t.equal(await uplink.stop(), 0);
  live.output('after the end of the uplink');
  live.end();
  await uplink.run();
  await uplink.emptied();
  t.same(archived(live), live.seen);
  t.equal(rig.manifest(live.start).offset, live.length);
});

t.test('nothing of a session is in the log', async t => {
  t.notMatch(JSON.stringify(uplink.log), /secret|keystroke|in pieces/);
  t.same(
    uplink.log.filter(({ level }) => Number(level) > 30),
    [],
  );
});

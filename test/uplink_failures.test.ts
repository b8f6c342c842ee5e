/** What breaks between the uplink and the real receiver, and that nothing is lost by it. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createAuthority, issueClient, issueServer } from '../src/ctl/pki/certificates.ts';
import { HEADER, Rig, startOf } from './fixtures/receiver/rig.ts';
import { CuttingProxy } from './fixtures/uplink/cutting_proxy.ts';
import { SpoolWriter } from './fixtures/uplink/spool_writer.ts';
import { UplinkRig } from './fixtures/uplink/uplink_rig.ts';

const rig = await Rig.start();
t.teardown(() => rig.end());

function archived(writer: SpoolWriter, archive = rig): { length: number; sha256: string } {
  const bytes = readFileSync(archive.transcript(writer.start)).subarray(HEADER.length);
  const output = bytes.subarray(0, writer.seen.length);
  return { length: output.length, sha256: createHash('sha256').update(output).digest('hex') };
}

function startUplink(
  t: Test,
  endpoints: readonly string[],
  ca = rig.authority.certificate,
  client = rig.client,
) {
  const uplink = new UplinkRig(ca, client, endpoints);
  t.teardown(() => uplink.end());
  return uplink;
}

async function proxy(t: Test, target = () => rig.port): Promise<CuttingProxy> {
  const proxy = await CuttingProxy.start(target);
  t.teardown(() => proxy.end());
  return proxy;
}

/** A session of some megabytes that is done. */
function write(uplink: UplinkRig, megabytes = 4): SpoolWriter {
  const writer = new SpoolWriter(uplink.spool, startOf());
  for (let i = 0; i < megabytes * 32; i++) writer.output(randomBytes(32_768));
  writer.end();
  return writer;
}

t.test('connections cut in the middle of a body', async t => {
  const between = await proxy(t);
  between.fate = n => (n % 4 === 3 ? {} : { cutAfter: 100_000 + n * 150_000 });
  const uplink = startUplink(t, [`https://localhost:${between.port}/`]);
  const writers = [write(uplink), write(uplink), write(uplink)];
  await uplink.run();
  await uplink.emptied();
  t.ok(between.cuts >= 3, `${between.cuts} cuts`);
  for (const writer of writers) t.same(archived(writer), writer.seen);
});

t.test('answers that are lost', async t => {
  const between = await proxy(t);
  const lost = [2_500, 3_500, 4_500, 400_000, 900_000];
  between.fate = n => ({ loseAnswersAfter: lost[n] ?? Number.POSITIVE_INFINITY });
  const uplink = startUplink(t, [`https://localhost:${between.port}/`]);
  const writers = [write(uplink), write(uplink), write(uplink, 0), write(uplink, 0)];
  await uplink.run();
  await uplink.emptied();
  t.ok(between.cuts >= 2, `${between.cuts} lost`);
  for (const writer of writers) {
    t.same(archived(writer), writer.seen);
    t.equal(rig.manifest(writer.start).offset, writer.length);
  }
});

t.test('kept-alive connections that were cut while idle', async t => {
  const between = await proxy(t);
  const uplink = startUplink(t, [`https://localhost:${between.port}/`]);
  await uplink.run();
  const live = new SpoolWriter(uplink.spool, startOf());
  for (let i = 0; i < 10; i++) {
    live.output(`${i}`);
    await sleep(150);
    between.cutAll();
  }
  live.end();
  await uplink.emptied();
  t.same(archived(live), live.seen);
});

t.test('the archive is away at the start, and comes back', async t => {
  const away = new Rig();
  await away.prepare();
  t.teardown(() => away.end());
  const between = await proxy(t, () => away.port);
  const uplink = startUplink(
    t,
    [`https://localhost:${between.port}/`],
    away.authority.certificate,
    away.client,
  );
  const writers = Array.from({ length: 20 }, () => write(uplink, 0));
  away.port = 1;
  await uplink.run();
  const { problem } = await uplink.logged('the archive cannot be reached: sessions wait in the spool');
  t.match(problem, /^https:\/\/localhost:\d+\/: /);
  await sleep(1500);
  const complaints = uplink.log.filter(({ level }) => Number(level) > 30);
  t.ok(complaints.length <= 3, `${complaints.length} complaints`);
  await away.run();
  await uplink.emptied();
  for (const writer of writers) t.same(archived(writer, away), writer.seen);
  await uplink.logged('the archive is there again');

  t.test('the receiver is killed and started again, several times', async t => {
    const bulk = new SpoolWriter(uplink.spool, startOf());
    const quiet = new SpoolWriter(uplink.spool, startOf());
    for (let kill = 0; kill < 3; kill++) {
      for (let i = 0; i < 100; i++) {
        bulk.output(randomBytes(50_000));
        if (i % 10 === 0) await sleep(5);
      }
      quiet.output('x');
      await away.stop('SIGKILL');
      bulk.output('while it was away');
      await away.run();
    }
    bulk.end();
    quiet.end();
    await uplink.emptied();
    for (const writer of [bulk, quiet]) {
      t.same(archived(writer, away), writer.seen);
      t.equal(away.manifest(writer.start).offset, writer.length);
    }
  });
});

t.test('two endpoints: the one that works is used; when it ends, the other one', async t => {
  const other = await Rig.start();
  t.teardown(() => other.end());
  // The certificates of both.
  const ca = rig.authority.certificate + other.authority.certificate;
  const dead = await proxy(t, () => 1);
  const second = await proxy(t);
  const third = await proxy(t, () => other.port);
  const endpoints = [dead, second, third].map(({ port }) => `https://localhost:${port}/transcript`);
  const uplink = startUplink(t, endpoints, ca);
  other.write('ca.pem', ca);
  await other.stop();
  await other.run();
  await uplink.run();
  const live = new SpoolWriter(uplink.spool, startOf());
  live.output('first');
  const done = write(uplink);
  while (uplink.has(`${done.start.id}.done`)) await sleep(10);
  t.same(archived(done), done.seen);
  const tries = dead.connections;
  live.output('second');
  await sleep(500);
  t.equal(dead.connections, tries, 'stays with the one that works');
  await rig.stop('SIGKILL');
  live.output('third');
  live.end();
  await uplink.emptied();
  t.same(archived(live, other), live.seen, 'all of it at the other one');
  await rig.run();
});

t.test('receivers that are not to be believed, and one that does not believe', async t => {
  const stranger = await createAuthority('another authority');
  const misnamed = new Rig();
  await misnamed.prepare();
  t.teardown(() => misnamed.end());
  const elsewhere = await issueServer(misnamed.authority, ['elsewhere.example']);
  misnamed.write('server.pem', elsewhere.certificate);
  misnamed.write('server.key', elsewhere.key);
  await misnamed.run();
  const cases = [
    {
      name: 'authority',
      port: rig.port,
      ca: stranger.certificate,
      problem: /not of the authority in ca_path/,
    },
    { name: 'name', port: misnamed.port, ca: misnamed.authority.certificate, problem: /for another name/ },
    {
      name: 'client',
      port: rig.port,
      client: await issueClient(stranger, ['vm']),
      problem: /may refuse the cert/,
    },
  ];
  for (const { name, port, ca, client, problem } of cases) {
    await t.test(name, async t => {
      const uplink = startUplink(t, [`https://localhost:${port}/`], ca, client);
      const writer = write(uplink, 0);
      await uplink.run();
      const entry = await uplink.logged('the archive cannot be reached: sessions wait in the spool');
      t.match(entry['problem'], problem);
      t.comment(entry['problem']);
      t.ok(uplink.has(`${writer.start.id}.done`), 'kept');
      t.equal(await uplink.stop(), 0);
    });
  }
});

t.test('sessions that the archive does not take hold no other up', async t => {
  const uplink = startUplink(t, [`https://localhost:${rig.port}/`]);
  const foreign = new SpoolWriter(uplink.spool, startOf({ hostname: 'not.ours' }));
  foreign.end();
  const torn = new SpoolWriter(uplink.spool, startOf());
  torn.output('x');
  torn.finish();
  const broken = new SpoolWriter(uplink.spool, startOf());
  broken.raw(Buffer.alloc(40, 0xff));
  const other = startOf();
  writeFileSync(join(uplink.spool, `${other.id}.live`), `${JSON.stringify(startOf())}\n`);
  const noise = startOf();
  writeFileSync(join(uplink.spool, `${noise.id}.done`), randomBytes(100_000));
  const unfinished = startOf();
  writeFileSync(join(uplink.spool, `${unfinished.id}.live`), '{"version":1');
  await rig.create(startOf());
  await uplink.run();
  const good = write(uplink);
  while (uplink.has(`${good.start.id}.done`)) await sleep(10);
  t.same(archived(good), good.seen);
  await sleep(300);
  const kept = new Map(
    uplink.log
      .filter(({ msg }) => msg.startsWith('the archive does not take this session'))
      .map(({ session, problem }) => [session, problem]),
  );
  t.match(kept.get(foreign.start.id), /403/);
  t.match(kept.get(torn.start.id), /400/);
  t.match(kept.get(broken.start.id), /400/);
  t.match(kept.get(other.id), /of session/);
  t.match(kept.get(noise.id), /first line/);
  t.equal(kept.size, 5, 'one line each');
  t.ok(uplink.has(`${foreign.start.id}.done`));
  t.equal(uplink.log.filter(({ level }) => Number(level) > 40).length, 5);
});

t.test('the archive has more than the spool', async t => {
  const uplink = startUplink(t, [`https://localhost:${rig.port}/`]);
  const writer = new SpoolWriter(uplink.spool, startOf());
  writer.output('short');
  const ahead = new SpoolWriter(uplink.path('.'), writer.start);
  ahead.output('short, but longer');
  await rig.create(writer.start);
  const line = `${JSON.stringify(writer.start)}\n`.length;
  await rig.append(writer.start.id, 0, readFileSync(uplink.path(`${writer.start.id}.live`)).subarray(line));
  await uplink.run();
  const { problem } = await uplink.logged('the archive does not take this session: its spool file is kept');
  t.match(problem, /the archive has 29 bytes of this session, the spool only 17/);
});

t.test('a child of ttyspyd sends what is there, and ends with it', async t => {
  const uplink = startUplink(t, [`https://localhost:${rig.port}/`]);
  await uplink.run(['--child'], 'pipe');
  const live = new SpoolWriter(uplink.spool, startOf());
  live.output('the last words');
  live.end();
  uplink.child.stdin?.end();
  t.same(await once(uplink.child, 'exit'), [0, null]);
  t.notOk(uplink.has(`${live.start.id}.done`));
  t.same(archived(live), live.seen);
});

t.test('a spool that comes later, and again', async t => {
  const uplink = startUplink(t, [`https://localhost:${rig.port}/`]);
  for (let i = 0; i < 2; i++) {
    rmSync(uplink.spool, { recursive: true });
    if (i === 0) await uplink.run();
    await sleep(200);
    mkdirSync(uplink.spool);
    await sleep(300);
    const writer = write(uplink, 0);
    await uplink.emptied();
    t.same(archived(writer), writer.seen);
    if (i === 0) await sleep(1500);
  }
});

t.test('an archive that is full: the next one is used', async t => {
  const full = await Rig.start(['min_free 1000T']);
  t.teardown(() => full.end());
  const both = full.authority.certificate + rig.authority.certificate;
  full.write('ca.pem', both);
  await full.stop();
  await full.run();
  const endpoints = [full, rig].map(({ port }) => `https://localhost:${port}/`);
  const uplink = startUplink(t, endpoints, both);
  await uplink.run();
  const writer = write(uplink, 1);
  await uplink.emptied();
  t.same(archived(writer), writer.seen);
  t.match(
    (await uplink.logged('the archive cannot be reached: sessions wait in the spool'))['problem'],
    /507/,
  );
});

t.test('a slow way: a large session does not hold up a small one', async t => {
  const between = await proxy(t);
  between.fate = () => ({ bytesPerSecond: 2_000_000 });
  const uplink = startUplink(t, [`https://localhost:${between.port}/`]);
  await uplink.run();
  const large = [write(uplink, 6), write(uplink, 6), write(uplink, 6)];
  await sleep(300);
  const small = write(uplink, 0);
  while (uplink.has(`${small.start.id}.done`)) await sleep(5);
  t.ok(large.some(({ start }) => uplink.has(`${start.id}.done`)));
  await uplink.emptied();
  for (const writer of large) t.same(archived(writer), writer.seen);
});

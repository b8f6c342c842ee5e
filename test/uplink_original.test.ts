/**
 * The uplink and an original receiver. The original is a program in Go that is not at hand: a server of the test's own
 * answers as the facts about it say. Everything of ours is real.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { createAuthority, issueClient, issueServer } from '../src/ctl/pki/certificates.ts';
import { Kind } from '../src/session/event.ts';
import { transcriptHeaders } from '../src/uplink/transcript_headers.ts';
import { Rig, startOf } from './fixtures/receiver/rig.ts';
import { CuttingProxy } from './fixtures/uplink/cutting_proxy.ts';
import { OriginalReceiver } from './fixtures/uplink/original_receiver.ts';
import { SpoolWriter } from './fixtures/uplink/spool_writer.ts';
import { UplinkRig } from './fixtures/uplink/uplink_rig.ts';

const authority = await createAuthority('test authority');
const client = await issueClient(authority, ['vm']);
const original = new OriginalReceiver(authority.certificate, await issueServer(authority, ['localhost']));
await original.start();
const between = await CuttingProxy.start(() => original.port);
const uplink = new UplinkRig(authority.certificate, client, [`https://localhost:${between.port}/transcript`]);
await uplink.run();
t.teardown(async () => {
  await uplink.end();
  between.end();
  original.end();
});

/** What came of a transcript. */
function body(index: number): string {
  return Buffer.concat(original.transcripts.at(index)?.pieces ?? []).toString('latin1');
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

t.test('a session, live, in one request', async t => {
  const live = new SpoolWriter(uplink.spool, startOf());
  live.output('hello\r\n');
  await until(() => body(0) === 'hello\r\n');
  live.event(Kind.input, Buffer.from('secret'));
  live.event(Kind.resize, Buffer.from([0, 30, 0, 100]));
  live.event(Kind.stderr, Buffer.from('error\r\n'));
  live.event(Kind.output, Buffer.from('in pieces'), 5);
  await until(() => body(0).length === 23);
  t.notOk(original.transcripts[0]?.ended);
  live.end();
  await uplink.emptied();
  t.equal(original.transcripts.length, 1);
  const transcript = original.transcripts[0];
  t.equal(body(0), 'hello\r\nerror\r\nin pieces');
  t.ok(transcript?.ended);

  t.test('with the headers that the original sent', async t => {
    const golden = readFileSync(join(import.meta.dirname, 'fixtures/original/request.http'), 'latin1');
    const [head = ''] = golden.split('\r\n\r\n');
    for (const line of head.split('\r\n').slice(1)) {
      const [name = '', value] = line.split(/: (.*)/s);
      // Of curl itself; and of the connection.
      if (/^(host|accept|expect)$/i.test(name)) continue;
      t.equal(transcript?.headers[name.toLowerCase()], value, name);
    }
  });
});

t.test('the kind is remembered: it is asked once', async t => {
  const before = original.requests.filter(request => request === 'POST /sessions').length;
  const writers = Array.from({ length: 30 }, () => new SpoolWriter(uplink.spool, startOf({ gecos: '' })));
  for (const writer of writers) writer.output(`this is ${writer.start.id}`);
  for (const writer of writers) writer.end();
  await uplink.emptied();
  t.equal(original.requests.filter(request => request === 'POST /sessions').length, before);
  const bodies = original.transcripts.slice(1).map((_, i) => body(i + 1));
  t.same(new Set(bodies), new Set(writers.map(({ start }) => `this is ${start.id}`)));
  t.equal(original.transcripts[1]?.headers['x-gecos'], '-', 'an empty one would be refused');
});

t.test('cut off, it begins anew, and says so', async t => {
  const live = new SpoolWriter(uplink.spool, startOf());
  const count = original.transcripts.length;
  live.output('one ');
  await until(() => body(count) === 'one ');
  between.cutAll();
  await until(() => body(count + 1) === 'one ');
  live.output('two');
  live.end();
  await uplink.emptied();
  t.equal(body(count + 1), 'one two');
  t.ok(uplink.log.some(({ msg }) => msg.includes('sent from its beginning again')));
});

t.test('8 MiB', async t => {
  const bulk = new SpoolWriter(uplink.spool, startOf());
  const count = original.transcripts.length;
  for (let i = 0; i < 128; i++) bulk.output(Buffer.alloc(65_536, i));
  bulk.end();
  await uplink.emptied();
  t.equal(body(count).length, 8_388_608);
});

t.test('a receiver of ours comes to its place', async t => {
  const rig = new Rig();
  await rig.prepare();
  rig.write('ca.pem', authority.certificate);
  const identity = await issueServer(authority, ['localhost']);
  rig.write('server.pem', identity.certificate);
  rig.write('server.key', identity.key);
  const switching = await CuttingProxy.start(() => target);
  let target = original.port;
  const moved = new UplinkRig(authority.certificate, client, [`https://localhost:${switching.port}/`]);
  t.teardown(async () => {
    await moved.end();
    switching.end();
    await rig.end();
  });
  await moved.run();
  const live = new SpoolWriter(moved.spool, startOf());
  live.output('begun at the original');
  await until(() => body(-1) === 'begun at the original');
  await rig.run();
  target = rig.port;
  switching.cutAll();
  live.output(', ended at ours');
  live.end();
  await moved.emptied();
  t.match(readFileSync(rig.transcript(live.start), 'utf8'), '\n\n\nbegun at the original, ended at ours\n\n');
});

t.test('what a header may hold', async t => {
  const smuggled = 'x\r\nX-Username: root\r\n\r\nPOST /transcript';
  const headers = transcriptHeaders(
    startOf({ gecos: `Zoë\u0000 ${smuggled}`, claims: { ssh_client: smuggled } }),
  );
  for (const value of Object.values(headers)) t.notMatch(value, /[\r\n\0]/);
  t.equal(
    Buffer.from(headers['X-Gecos'] ?? '', 'latin1').toString(),
    'Zoë  x X-Username: root POST /transcript',
  );
  t.equal(headers['X-Ssh-Client'], 'x X-Username: root POST /transcript');
  t.notOk('X-Ssh-Client' in transcriptHeaders(startOf({ claims: {} })));
  t.equal(transcriptHeaders(startOf({ gecos: ' \r\n' }))['X-Gecos'], '-');
  t.throws(() => transcriptHeaders(startOf({ username: ' alice' })), /cannot be told/);
  t.ok(transcriptHeaders(startOf({ username: 'zoë' }))['X-Username']);
});

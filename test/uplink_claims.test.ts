/** Whatever a user claims in a hello, the session comes to be in the archive. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { decodeHello } from '../src/session/hello.ts';
import { MAX_HELLO, MAX_METADATA } from '../src/session/limits.ts';
import { Rig, startOf } from './fixtures/receiver/rig.ts';
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

/** The largest hello there may be, with a claim of this byte. */
function largestHello(byte: number): Buffer {
  const head = Buffer.from('{"mode":"command","claims":{"ssh_original_command":"');
  const tail = Buffer.from('"}}');
  const filling = Buffer.alloc(MAX_HELLO - head.length - tail.length, byte);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(MAX_HELLO);
  return Buffer.concat([Buffer.from('\xf5ttyspy\x01', 'latin1'), length, head, filling, tail]);
}

for (const [what, byte] of [
  ['plain', 0x78],
  ['not UTF-8, three times as long in JSON', 0xff],
] as const) {
  t.test(`the longest claim, ${what}`, async t => {
    const hello = decodeHello(largestHello(byte));
    const start = { ...startOf(), claims: hello?.claims ?? {} };
    const size = JSON.stringify(start).length;
    t.ok(size > MAX_HELLO - 200 && Buffer.byteLength(JSON.stringify(start)) < MAX_METADATA);
    const writer = new SpoolWriter(uplink.spool, start);
    writer.output('what it did\r\n');
    writer.end();
    await uplink.run();
    while (uplink.has(`${start.id}.done`)) await sleep(10);
    t.match(rig.manifest(start), { claims: start.claims, end: { reason: 'exit' } });
    await uplink.stop();
  });
}

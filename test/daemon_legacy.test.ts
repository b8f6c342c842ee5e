/** ttyspyd and the original's client: its 512 bytes, then what the terminal showed, to the end of the connection. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Kind } from '../src/session/event.ts';
import { self } from './support/account.ts';
import { beside } from './support/child.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';

const HELLO = readFileSync(join(import.meta.dirname, 'fixtures/original/client-hello.bin'));
const rig = await DaemonRig.start();
t.teardown(() => rig.end());

/** Sends it in pieces of a size, in a process that ends afterwards as the original does. @returns the session */
async function send(bytes: Buffer, size: number, pause = 0) {
  const known = new Set([...rig.spooled('live'), ...rig.spooled('done')].map(name => name.slice(0, 16)));
  const child = beside(
    `const fd = native.connect(${JSON.stringify(rig.socket)}, 20_000);
     const bytes = Buffer.concat(await process.stdin.toArray());
     for (let at = 0; at < bytes.length; at += ${size}) {
       native.sendMessage(fd, bytes.subarray(at, at + ${size}), []);
       if (${pause}) await new Promise(resolve => setTimeout(resolve, ${pause}));
     }`,
    { stdio: ['pipe', 'inherit', 'inherit'] },
  );
  child.stdin?.end(bytes);
  const fresh = () => rig.spooled('done').find(name => !known.has(name.slice(0, 16)));
  await until(() => fresh() !== undefined);
  return rig.session((fresh() as string).slice(0, 16));
}

t.test('hello and stream', async t => {
  const output = Buffer.from('$ ls\r\ncaf\xc3\xa9\r\n\x1b[32mgreen\x1b[0m\xff\xfe', 'latin1');
  const session = await send(Buffer.concat([HELLO, output]), 512);
  t.match(session.start, {
    mode: 'legacy',
    username: self.name,
    claims: { ssh_tty: '/dev/pts/7', ssh_client: '192.0.2.7 51515 22' },
    kernel: { uid: self.uid, gid: self.gid, tty: null },
    rows: null,
    columns: null,
  });
  t.same(session.bytes(Kind.output), output);
  t.match(session.end, {
    reason: 'exit',
    streams: { output: { bytes: output.length, recorded: output.length, sha256: null } },
  });
});

t.test('output that comes along with the hello, and a hello in pieces', async t => {
  const bytes = Buffer.concat([HELLO, Buffer.from('at once')]);
  t.equal((await send(bytes, bytes.length)).bytes(Kind.output).toString(), 'at once');
  t.equal((await send(bytes, 100, 5)).bytes(Kind.output).toString(), 'at once');
});

t.test('no output at all', async t => {
  const session = await send(HELLO, 512);
  t.match(session, { events: [{ kind: Kind.exit }], end: { reason: 'exit' } });
});

t.test('much output', async t => {
  const output = randomBytes(8 << 20);
  const session = await send(Buffer.concat([HELLO, output]), 1 << 20);
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  t.equal(digest(session.bytes(Kind.output)), digest(output));
});

t.test('CR LF in SSH_CLIENT stays where it is (fault 9)', async t => {
  const evil = Buffer.alloc(512);
  evil.write('/dev/pts/7', 0);
  evil.write('1.2.3.4 5 22\r\nX-Username: root\r\n\r\n', 256);
  const session = await send(evil, 512);
  t.equal(session.start.username, self.name);
  t.equal(session.start.claims.ssh_client, '1.2.3.4 5 22\r\nX-Username: root\r\n\r\n');
});

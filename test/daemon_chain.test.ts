/**
 * The whole chain, every program real: forty users' terminals, ttyspy, ttyspyd, its uplink, TLS, the receiver, the
 * archive. What each user saw is in the archive, byte for byte.
 */
import { createHash } from 'node:crypto';
import { chownSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type PtyProcess, spawnOnPty } from '../src/os/pty.ts';
import type { SessionEnd } from '../src/session/metadata.ts';
import { Rig } from './fixtures/receiver/rig.ts';
import { account, isRoot, self } from './support/account.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';

const SESSIONS = 40;
const TTYSPY = join(import.meta.dirname, '../src/client/ttyspy');

const archive = await Rig.start();
const rig = new DaemonRig();
t.teardown(async () => {
  await rig.end();
  await archive.end();
});

/** Files that ttyspyd's account must be able to read, and nobody else. */
function give(name: string, text: string): string {
  writeFileSync(rig.path(name), text, { mode: 0o600 });
  if (isRoot) chownSync(rig.path(name), account('daemon').uid, account('daemon').gid);
  return rig.path(name);
}

rig.configure([
  `endpoint https://localhost:${archive.port}/transcript`,
  `ca_path ${give('ca.pem', archive.authority.certificate)}`,
  `cert_path ${give('client.pem', archive.client.certificate)}`,
  `key_path ${give('client.key', archive.client.key)}`,
  'record_root yes',
]);
await rig.run();

interface Seen {
  readonly index: number;
  readonly bytes: Buffer;
  readonly status: number;
}

/** Reads the user's side to its end, as a terminal does. */
function watch({ master, exited }: PtyProcess, index: number): Promise<Seen> {
  const pieces: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  const end = new Promise<void>(resolve => {
    const readable = () => {
      let length = 0;
      try {
        length = master.read(buffer, 0, buffer.length);
      } catch {
        // EIO: the last who had the other side open is gone.
      }
      if (length > 0) pieces.push(Buffer.from(buffer.subarray(0, length)));
      if (length !== 0) return;
      master.close();
      resolve();
    };
    master.listen({ readable, writable: () => {} });
    master.wantRead(true);
  });
  return Promise.all([exited, end]).then(([{ status }]) => ({ index, bytes: Buffer.concat(pieces), status }));
}

/** What a user does: text, bytes of any kind, some at once and some later, and a status of their own. */
function program(index: number): string {
  const blocks = [1, 16, 200][index % 3] as number;
  return `printf 'caf\\303\\251 ${index}\\r\\n\\033[32mgreen\\033[0m\\377\\376'
    head -c $((${blocks} * 1024)) /dev/urandom
    tty; echo "$SSH_TTY"
    for i in 1 2 3; do echo "line $i of ${index}"; sleep 0.05; done
    printf 'end ${index}'; exit ${index}`;
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Transcripts of the archive by the command line that their manifests claim. */
function transcripts(): Map<string, { body: Buffer; manifest: { [member: string]: unknown } }> {
  const found = new Map<string, { body: Buffer; manifest: { [member: string]: unknown } }>();
  for (const file of globSync(`${archive.store}/*/vm/**/transcript_*.json`)) {
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    const text = readFileSync(file.replace(/\.json$/, ''));
    const body = text.subarray(text.indexOf('\n\n\n') + 3, text.lastIndexOf('\n\nSession ended: '));
    found.set(manifest.claims.argv.at(-1), { body, manifest });
  }
  return found;
}

t.test(`${SESSIONS} sessions at once`, async t => {
  const began = performance.now();
  const users = Array.from({ length: SESSIONS }, (_, index) => {
    const process = spawnOnPty(TTYSPY, ['-c', rig.conf, '/bin/sh', '-c', program(index)], 80 + index, 24);
    return watch(process, index);
  });
  const seen = await Promise.all(users);
  t.comment(`shown after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  t.same(
    seen.map(({ status }) => status),
    seen.map(({ index }) => index),
    'exit statuses',
  );
  t.equal(
    seen.filter(({ bytes, index }) => bytes.toString('latin1').endsWith(`end ${index}`)).length,
    SESSIONS,
  );

  await until(() => rig.spooled('live').length + rig.spooled('done').length === 0);
  t.comment(`archived after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  const archived = transcripts();
  t.equal(archived.size, SESSIONS);
  for (const { index, bytes } of seen) {
    const { body, manifest } = archived.get(program(index)) ?? {};
    t.equal(digest(body ?? Buffer.alloc(0)), digest(bytes), `session ${index}: ${bytes.length} bytes`);
    // Before Linux 6.15 the kernel does not tell; the user's side got it all the same.
    const told = (manifest?.['end'] as SessionEnd | undefined)?.status === null ? null : index;
    t.match(manifest, {
      username: self.name,
      hostname: 'vm',
      mode: 'tty',
      columns: 80 + index,
      end: { reason: 'exit', status: told, streams: { output: { bytes: bytes.length } } },
    });
  }
});

t.test('nothing of a session is in the log', async t => {
  t.notMatch(JSON.stringify(rig.log), /green|line 1|caf/);
  t.equal(rig.logged('session started').length, SESSIONS);
  t.equal(rig.logged('session ended').length, SESSIONS);
  t.equal(rig.logged('session refused').length, 0);
});

/** Descriptors whose close waits for their sender: ttyspyd must not wait with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeHello } from '../src/session/hello.ts';
import { isRoot } from './support/account.ts';
import { ENV, run } from './support/child.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';
import { Terminal, visit } from './support/visitor.ts';

const SENDER = join(import.meta.dirname, 'support/hostile_descriptor.py');
const hello = encodeHello({ mode: 'command', claims: {} }).toString('hex');

const rig = await DaemonRig.start();
t.teardown(() => rig.end());
const descriptors = isRoot ? rig.descriptors : 0;

const python = (() => {
  try {
    return run('python3', ['-c', 'import socket; socket.send_fds']).status === 0
      ? false
      : 'python3 sends no descriptors';
  } catch {
    return 'no python3';
  }
})();

const fuse = (() => {
  if (!isRoot) return 'only root can mount a file system without a set-uid program';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return 'no /dev/fuse';
  }
})();

/** Ends a sender, and before that the wait of all who wait for it: its own end would be one of them. */
async function gone(sender: ChildProcess, directory?: string): Promise<void> {
  // -f ends the connection to the server; busy it may be all the same.
  if (directory !== undefined) run('umount', ['-f', directory]);
  sender.kill('SIGKILL');
  await once(sender, 'close');
}

async function hostile(
  kind: string,
  place: number,
  directory = '',
): Promise<{ sender: ChildProcess; answer: unknown }> {
  const sender = spawn('python3', [SENDER, kind, rig.socket, hello, String(place), directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: ENV,
  });
  const [line] = await once(sender.stdout as NodeJS.ReadableStream, 'data');
  return { sender, answer: JSON.parse(String(line)) };
}

function others(): unknown {
  const terminal = new Terminal();
  const answer = visit(rig.socket, { mode: 'tty', claims: {} }, terminal.fds);
  terminal.handedOver();
  terminal.exit();
  terminal.hangUp();
  return answer;
}

t.test('a file whose server falls silent (FUSE)', { skip: python || fuse }, async t => {
  for (const place of [0, 1, 5]) {
    const directory = rig.path(`mount${place}`);
    mkdirSync(directory);
    const { sender, answer } = await hostile('fuse', place, directory);
    t.match(answer, { ok: false, code: 'descriptor' });
    t.match(others(), { ok: true }, 'everybody else is served');
    await gone(sender, directory);
    run('umount', ['-l', directory]);
  }
});

t.test('a TCP socket that lingers', { skip: python }, async t => {
  const { sender, answer } = await hostile('linger', 1);
  t.match(answer, { ok: false, code: 'descriptor' });
  t.match(others(), { ok: true }, 'everybody else is served');
  await gone(sender);
});

t.test('nothing is left open', { skip: !isRoot && 'only root may look' }, async t => {
  await until(() => rig.descriptors <= descriptors);
  t.equal(rig.descriptors, descriptors);
});

/** The addon's Unix sockets: who is there, and descriptors that come along with bytes. */
import { once } from 'node:events';
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../src/os/native.ts';
import { needsRoot, nobody, self } from './support/account.ts';
import { beside, moduleArgs, run } from './support/child.ts';
import { closesOnExec, openDescriptors } from './support/descriptors.ts';

const directory = t.testdir();
chmodSync(directory, 0o777);
let sockets = 0;

/** A listening socket at a path of its own. */
function listen(backlog = 16): { path: string; listener: number } {
  const path = join(directory, `s${sockets++}`);
  return { path, listener: native.listen(path, 0o666, backlog) };
}

function close(...fds: number[]): void {
  for (const fd of fds) native.close(fd);
}

const bytes = (text: string) => Buffer.from(text);

t.test('listen, connect, accept', async t => {
  const { path, listener } = listen();
  t.equal(statSync(path).mode & 0o777, 0o666);
  t.equal(native.isListening(listener), true);
  t.equal(native.accept(listener), -1, 'nobody waits');
  const client = native.connect(path, 1_000);
  const server = native.accept(listener);
  t.ok(server >= 0);
  t.ok([listener, client, server].every(closesOnExec), 'close-on-exec');
  t.equal(native.isListening(client), false);
  t.same([client, server, listener].map(native.isConnected), [true, true, false]);
  native.sendMessage(client, bytes('hello'), []);
  const buffer = Buffer.alloc(16);
  t.same(native.receiveMessage(server, buffer, 3, 8, 0), { length: 5, fds: [] });
  t.equal(buffer.toString('utf8', 3, 8), 'hello');
  t.equal(native.receiveMessage(server, buffer, 0, 16, 0).length, -1, 'nothing waits');
  native.close(client);
  t.equal(native.receiveMessage(server, buffer, 0, 16, 0).length, 0, 'the end');
  t.equal(native.isConnected(server), true, 'as it was');
  t.throws(() => native.sendMessage(server, bytes('x'), []), { code: 'EPIPE', syscall: 'sendmsg' });
  close(listener, server);
});

t.test('what cannot be listened on or connected to', async t => {
  const before = openDescriptors();
  const { path, listener } = listen();
  t.throws(() => native.listen(path, 0o600, 1), { code: 'EADDRINUSE', syscall: 'bind' });
  t.throws(() => native.listen(join(directory, 'x'.repeat(108)), 0o600, 1), { code: 'ENAMETOOLONG' });
  t.throws(() => native.listen(join(directory, 'none/s'), 0o600, 1), { code: 'ENOENT', syscall: 'bind' });
  t.throws(() => native.connect(join(directory, 'none'), 100), { code: 'ENOENT', syscall: 'connect' });
  writeFileSync(join(directory, 'file'), '');
  t.throws(() => native.connect(join(directory, 'file'), 100), { code: 'ECONNREFUSED' });
  native.close(listener);
  t.throws(() => native.connect(path, 100), { code: 'ECONNREFUSED' });
  const [readEnd, writeEnd] = native.pipe();
  t.throws(() => native.isListening(readEnd), { code: 'ENOTSOCK' });
  t.throws(() => native.accept(readEnd), { code: 'ENOTSOCK' });
  t.throws(() => native.isConnected(readEnd), { code: 'ENOTSOCK' });
  t.throws(() => native.peerCredentials(readEnd), { code: 'ENOTSOCK' });
  close(readEnd, writeEnd);
  t.equal(openDescriptors(), before);
});

t.test('every call gives up after the time that connect was given', async t => {
  const { path, listener } = listen(1);
  const clients: number[] = [];
  const began = performance.now();
  t.throws(
    () => {
      for (let i = 0; i < 8; i++) clients.push(native.connect(path, 200));
    },
    { code: 'EAGAIN', syscall: 'connect' },
    'a full backlog',
  );
  t.ok(performance.now() - began >= 150);
  const again = performance.now();
  t.equal(native.receiveMessage(clients[0] as number, Buffer.alloc(8), 0, 8, 0).length, -1, 'no answer');
  t.ok(performance.now() - again >= 150);
  t.throws(
    () => native.sendMessage(clients[0] as number, Buffer.alloc(64 << 20), []),
    { code: 'EAGAIN', syscall: 'sendmsg' },
    'a server that does not read',
  );
  close(listener, ...clients);
});

t.test('the peer is who the kernel says', async t => {
  const { path, listener } = listen();
  const client = native.connect(path, 1_000);
  t.match(native.peerCredentials(client), { pid: process.pid, uid: self.uid, gid: self.gid });
  const child = beside(`const fd = native.connect(${JSON.stringify(path)}, 1000);
    const { uid, pid, pidfd } = native.peerCredentials(fd);
    process.stdout.write(JSON.stringify({ uid, pid }));
    setTimeout(() => {}, 60_000);`);
  const [seen] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  t.same(JSON.parse(seen.toString()), { uid: self.uid, pid: process.pid }, 'of who listens, too');
  const own = native.accept(listener);
  t.equal(native.peerCredentials(own).pid, process.pid);
  const server = native.accept(listener);
  const peer = native.peerCredentials(server);
  t.match(peer, { pid: child.pid, uid: self.uid, gid: self.gid });
  if (peer.pidfd >= 0) {
    t.match(
      readFileSync(`/proc/self/fdinfo/${peer.pidfd}`, 'utf8'),
      new RegExp(`^Pid:\\s*${child.pid}$`, 'm'),
    );
    t.ok(closesOnExec(peer.pidfd));
    native.close(peer.pidfd);
  } else {
    t.pass('pidfd of the peer', { skip: 'SO_PEERPIDFD: this kernel is older than Linux 6.5' });
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  const gone = native.peerCredentials(server);
  t.equal(gone.pid, child.pid, 'the peer has gone, its credentials have not');
  for (const fd of [client, own, server, listener, gone.pidfd].filter(fd => fd >= 0)) native.close(fd);
});

t.test('the peer is another user', { skip: needsRoot }, async t => {
  const { path, listener } = listen();
  chownSync(path, 0, 0);
  const { uid, gid } = nobody;
  const { status, stderr } = run(
    process.execPath,
    moduleArgs(`native.sendMessage(native.connect(${JSON.stringify(path)}, 1000), Buffer.from('x'), []);`),
    { uid, gid },
  );
  t.equal(status, 0, stderr);
  const server = native.accept(listener);
  const peer = native.peerCredentials(server);
  t.match(peer, { uid, gid });
  for (const fd of [server, listener, peer.pidfd].filter(fd => fd >= 0)) native.close(fd);
});

t.test('descriptors come with the first byte, and close on exec', async t => {
  const before = openDescriptors();
  const [one, other] = native.socketPair();
  const [readEnd, writeEnd] = native.pipe();
  native.sendMessage(one, bytes('abc'), [writeEnd, readEnd]);
  const buffer = Buffer.alloc(16);
  const { length, fds } = native.receiveMessage(other, buffer, 0, 1, 2);
  t.equal(length, 1);
  t.equal(fds.length, 2);
  t.ok(fds.every(closesOnExec));
  t.same(native.receiveMessage(other, buffer, 0, 16, 2), { length: 2, fds: [] });
  native.write(fds[0] as number, bytes('through'), 0, 7);
  t.equal(native.read(readEnd, buffer, 0, 16), 7);
  t.equal(buffer.toString('utf8', 0, 7), 'through');
  close(one, other, readEnd, writeEnd, ...fds);
  t.equal(openDescriptors(), before);
});

t.test('more descriptors than asked for: none', async t => {
  const [one, other] = native.socketPair();
  const before = openDescriptors();
  const buffer = Buffer.alloc(16);
  for (let sent = 1; sent <= 8; sent++) {
    for (let most = 0; most <= 8; most++) {
      native.sendMessage(one, bytes('x'), Array(sent).fill(one));
      if (sent <= most) {
        const { fds } = native.receiveMessage(other, buffer, 0, 16, most);
        t.equal(fds.length, sent);
        close(...fds);
      } else {
        t.throws(() => native.receiveMessage(other, buffer, 0, 16, most), { code: 'EMSGSIZE' });
      }
      t.equal(openDescriptors(), before, `${sent} sent, ${most} asked for`);
    }
  }
  t.throws(() => native.sendMessage(one, bytes('x'), Array(9).fill(one)), TypeError);
  t.throws(() => native.sendMessage(one, bytes('x'), [1e6]), { code: 'EBADF' });
  close(one, other);
});

t.test('more descriptors than there is room for: none', async t => {
  const { path, listener } = listen();
  const send = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
socket.send_fds(s, [b"x"], [0] * int(sys.argv[2]))`;
  const before = openDescriptors();
  for (const count of [9, 20, 253]) {
    const { status, stderr } = run('python3', ['-c', send, path, String(count)]);
    if (status !== 0) {
      t.pass('a foreign sender', { skip: `no python3 that sends descriptors: ${stderr}` });
      break;
    }
    const server = native.accept(listener);
    t.throws(() => native.receiveMessage(server, Buffer.alloc(8), 0, 8, 8), { code: 'EMSGSIZE' }, `${count}`);
    native.close(server);
    t.equal(openDescriptors(), before, 'none is left');
  }
  native.close(listener);
});

t.test('a message larger than the socket holds', async t => {
  const { path, listener } = listen();
  const child = beside(`const fd = native.connect(${JSON.stringify(path)}, 10_000);
    const buffer = Buffer.alloc(100_000);
    let total = 0;
    for (let n; (n = native.receiveMessage(fd, buffer, 0, buffer.length, 0).length) > 0; ) total += n;
    process.stdout.write(String(total));`);
  const output = once(child.stdout as NodeJS.ReadableStream, 'data');
  let server = -1;
  while (server < 0) {
    server = native.accept(listener);
    if (server < 0) await new Promise(resolve => setTimeout(resolve, 5));
  }
  native.setNonBlocking(server, 0);
  native.sendMessage(server, Buffer.alloc(8 << 20), []);
  native.shutdownWrite(server);
  t.equal(String((await output)[0]), String(8 << 20));
  close(server, listener);
});

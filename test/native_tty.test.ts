/** The addon's terminals, on ptys of their own. */
import { execFileSync } from 'node:child_process';
import { chownSync, closeSync, openSync } from 'node:fs';
import t from 'tap';
import { native } from '../src/os/native.ts';
import { isRoot, nobody } from './support/account.ts';
import { inChild, resultOf } from './support/child.ts';
import { closesOnExec, openDescriptors } from './support/descriptors.ts';

function close(...fds: number[]): void {
  for (const fd of fds) native.close(fd);
}

function stty(tty: string, ...args: string[]): string {
  return execFileSync('stty', ['-F', tty, ...args], { encoding: 'utf8' }).trim();
}

/** All that is there to be read now. */
function readAll(fd: number): Buffer {
  const buffer = Buffer.alloc(70_000);
  const length = native.read(fd, buffer, 0, buffer.length);
  return buffer.subarray(0, Math.max(length, 0));
}

t.test('a pair', async t => {
  const before = openDescriptors();
  const [master, slave] = native.openPty();
  t.equal(native.ttyName(slave), `/dev/pts/${native.ptyNumber(master)}`);
  t.throws(() => native.ptyNumber(slave), { code: 'ENOTTY', syscall: 'TIOCGPTN' });
  t.ok(closesOnExec(master) && closesOnExec(slave));
  t.equal(native.controllingSession(slave), -1, 'of no session');
  native.write(slave, Buffer.from('a\n'), 0, 2);
  t.equal(readAll(master).toString(), 'a\r\n');
  native.close(slave);
  native.setNonBlocking(master, 1);
  t.throws(() => native.read(master, Buffer.alloc(8), 0, 8), { code: 'EIO', syscall: 'read' }, 'hung up');
  native.close(master);
  t.equal(openDescriptors(), before);
});

t.test('what is no terminal', async t => {
  const [readEnd, writeEnd] = native.pipe();
  const settings = Buffer.alloc(60);
  for (const [name, call] of Object.entries({
    ptyNumber: () => native.ptyNumber(readEnd),
    ttyName: () => native.ttyName(readEnd),
    getTermios: () => native.getTermios(readEnd),
    setTermios: () => native.setTermios(readEnd, settings),
    makeRaw: () => native.makeRaw(readEnd),
    getWindowSize: () => native.getWindowSize(readEnd),
    copyWindowSize: () => native.copyWindowSize(readEnd, writeEnd),
    setExclusive: () => native.setExclusive(readEnd),
    unsetExclusive: () => native.unsetExclusive(readEnd),
    releaseControllingTerminal: () => native.releaseControllingTerminal(readEnd),
    setControllingTerminal: () => native.setControllingTerminal(readEnd),
  })) {
    t.throws(call, { code: 'ENOTTY' }, name);
  }
  t.equal(native.controllingSession(readEnd), -1);
  close(readEnd, writeEnd);
});

t.test('settings copied from one terminal to another', async t => {
  const [master, slave] = native.openPty();
  const [otherMaster, other] = native.openPty();
  const [tty, otherTty] = [native.ttyName(slave), native.ttyName(other)];
  stty(tty, '-echo', '-icanon', 'intr', '^A', 'min', '7', 'ixany');
  t.not(stty(otherTty, '-g'), stty(tty, '-g'));
  native.setTermios(other, native.getTermios(slave));
  t.equal(stty(otherTty, '-g'), stty(tty, '-g'));
  const settings = native.getTermios(slave);
  for (const wrong of [Buffer.alloc(0), settings.subarray(1), Buffer.concat([settings, settings])]) {
    t.throws(() => native.setTermios(other, wrong), TypeError);
  }
  t.equal(stty(otherTty, '-g'), stty(tty, '-g'));
  close(master, slave, otherMaster, other);
});

t.test('raw: all bytes pass as they are, both ways', async t => {
  const [master, slave] = native.openPty();
  native.makeRaw(slave);
  native.setNonBlocking(master, 1);
  native.setNonBlocking(slave, 1);
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  native.write(slave, all, 0, 256);
  t.same(readAll(master), all);
  native.write(master, all, 0, 256);
  t.same(readAll(slave), all);
  t.equal(readAll(master).length, 0, 'no echo');
  close(master, slave);
});

t.test('the size of the window', async t => {
  const [master, slave] = native.openPty();
  const [otherMaster, other] = native.openPty();
  t.equal(native.getWindowSize(slave), 0);
  stty(native.ttyName(slave), 'rows', '50', 'cols', '132');
  t.equal(native.getWindowSize(slave), 50 * 65_536 + 132);
  t.equal(native.getWindowSize(master), 50 * 65_536 + 132);
  native.copyWindowSize(slave, otherMaster);
  t.equal(stty(native.ttyName(other), 'size'), '50 132');
  stty(native.ttyName(slave), 'rows', '65535', 'cols', '65535');
  t.equal(native.getWindowSize(slave), 2 ** 32 - 1);
  close(master, slave, otherMaster, other);
});

t.test('exclusive: nobody opens it a second time', async t => {
  const [master, slave] = native.openPty();
  const tty = native.ttyName(slave);
  // CAP_SYS_ADMIN opens it all the same, so that root must look on as somebody else.
  if (isRoot) chownSync(tty, nobody.uid, nobody.gid);
  const attempt = () => {
    const who = isRoot ? { uid: nobody.uid, gid: nobody.gid } : {};
    return resultOf(
      `const open = () => fs.closeSync(fs.openSync(${JSON.stringify(tty)}, fs.constants.O_RDWR | fs.constants.O_NOCTTY));
       process.stdout.write(JSON.stringify(codeOf(open)));`,
      who,
    );
  };
  t.equal(attempt(), 'ok');
  native.setExclusive(slave);
  t.equal(attempt(), 'EBUSY');
  native.unsetExclusive(slave);
  t.equal(attempt(), 'ok');
  close(master, slave);
});

t.test('the controlling terminal: taken, given up', async t => {
  const found = resultOf(
    `const [master, slave] = native.openPty();
     const leader = native.sessionId() === process.pid;
     const dev = () => codeOf(() => fs.closeSync(fs.openSync('/dev/tty', 'r')));
     const before = dev();
     native.setControllingTerminal(slave);
     const taken = { dev: dev(), session: native.controllingSession(slave) === process.pid };
     const second = codeOf(() => native.setControllingTerminal(native.openPty()[1]));
     native.ignoreSignal(1, 1);
     native.releaseControllingTerminal(slave);
     const released = { dev: dev(), session: native.controllingSession(slave) };
     process.stdout.write(JSON.stringify({ leader, before, taken, second, released }));`,
    { detached: true },
  );
  t.same(found, {
    leader: true,
    before: 'ENXIO',
    taken: { dev: 'ok', session: true },
    second: 'EPERM',
    released: { dev: 'ENXIO', session: -1 },
  });
});

t.test('giving it up hangs the session up', async t => {
  const { signal } = inChild(
    `const [, slave] = native.openPty();
     native.setControllingTerminal(slave);
     native.releaseControllingTerminal(slave);
     setTimeout(() => {}, 30_000);`,
    { detached: true },
  );
  t.equal(signal, 'SIGHUP');
});

t.test('who leads no session takes no terminal', async t => {
  const found = resultOf(
    `const [, slave] = native.openPty();
     const other = native.sessionId() !== process.pid;
     const asMember = codeOf(() => native.setControllingTerminal(slave));
     native.setsid();
     const led = native.sessionId() === process.pid;
     const twice = codeOf(() => native.setsid());
     native.setControllingTerminal(slave);
     process.stdout.write(JSON.stringify({ other, asMember, led, twice }));`,
  );
  t.same(found, { other: true, asMember: 'EPERM', led: true, twice: 'EPERM' });
});

t.test('a terminal of a session that this process is not in', async t => {
  const fd = openSync('/dev/null', 'r');
  t.equal(native.controllingSession(fd), -1);
  closeSync(fd);
});

/** The addon's reads and writes, and the guard over descriptors that somebody else may make blocking. */
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { errorCode, native } from '../src/os/native.ts';
import { resultOf } from './support/child.ts';
import { closesOnExec, flagsOf, openDescriptors } from './support/descriptors.ts';

const O_NONBLOCK = 0o4000;
const O_PATH = 0o10000000;
const directory = t.testdir({ file: 'content' });
const file = join(directory, 'file');

function close(...fds: number[]): void {
  for (const fd of fds) native.close(fd);
}

t.test('reads and writes that never wait', async t => {
  const [readEnd, writeEnd] = native.pipe();
  native.setNonBlocking(readEnd, 1);
  native.setNonBlocking(writeEnd, 1);
  const buffer = Buffer.alloc(200_000);
  t.equal(native.read(readEnd, buffer, 0, 10), -1, 'nothing there');
  t.equal(native.write(writeEnd, Buffer.from('abcdef'), 1, 3), 3);
  t.equal(native.read(readEnd, buffer, 2, 10), 3);
  t.equal(buffer.toString('latin1', 0, 6), '\0\0bcd\0');
  t.equal(native.write(writeEnd, buffer, 0, 200_000), 65_536, 'as much as goes');
  t.equal(native.write(writeEnd, buffer, 0, 1), 0, 'nothing goes');
  t.equal(native.read(readEnd, buffer, 0, 200_000), 65_536, 'as much as there is');
  native.write(writeEnd, Buffer.from('last'), 0, 4);
  native.close(writeEnd);
  t.equal(native.read(readEnd, buffer, 0, 10), 4);
  t.equal(native.read(readEnd, buffer, 0, 10), 0, 'the end');
  native.close(readEnd);
});

t.test('a reader that is gone', async t => {
  const [readEnd, writeEnd] = native.pipe();
  native.setNonBlocking(writeEnd, 1);
  native.close(readEnd);
  t.throws(() => native.write(writeEnd, Buffer.alloc(8), 0, 8), { code: 'EPIPE', syscall: 'write' });
  native.close(writeEnd);
});

t.test('what a read or write cannot do', async t => {
  const buffer = Buffer.alloc(8);
  const fd = openSync(directory, 'r');
  t.throws(() => native.read(fd, buffer, 0, 8), { code: 'EISDIR', syscall: 'read' });
  closeSync(fd);
  const readOnly = openSync(file, 'r');
  t.throws(() => native.write(readOnly, buffer, 0, 8), { code: 'EBADF', syscall: 'write' });
  closeSync(readOnly);
  t.throws(() => native.read(-1, buffer, 0, 8), { code: 'EBADF', errno: -9, syscall: 'read' });
});

t.test('pwrite puts all of it where it belongs', async t => {
  const path = join(directory, 'spool');
  const fd = openSync(path, 'w');
  native.pwrite(fd, Buffer.from('0123456789'), 2, 5, 0);
  native.pwrite(fd, Buffer.from('XY'), 0, 2, 1);
  native.pwrite(fd, Buffer.alloc(0), 0, 0, 100);
  t.equal(readFileSync(path, 'utf8'), '2XY56');
  native.pwrite(fd, Buffer.from('far'), 0, 3, 2 ** 33);
  t.equal(statSync(path).size, 2 ** 33 + 3);
  closeSync(fd);
  const readOnly = openSync(path, 'r');
  t.throws(() => native.pwrite(readOnly, Buffer.alloc(8), 0, 8, 0), { code: 'EBADF', syscall: 'pwrite' });
  t.throws(() => native.pwrite(readOnly, Buffer.alloc(8), 0, 8, -1), TypeError);
  closeSync(readOnly);
});

t.test('pipes and socket pairs', async t => {
  const before = openDescriptors();
  const [readEnd, writeEnd] = native.pipe();
  const [one, other] = native.socketPair();
  const all = [readEnd, writeEnd, one, other];
  t.ok(all.every(closesOnExec));
  t.same(
    all.map(fd => native.accessMode(fd)),
    [0, 1, 2, 2],
  );
  native.write(one, Buffer.from('x'), 0, 1);
  native.shutdownWrite(one);
  const buffer = Buffer.alloc(8);
  t.equal(native.read(other, buffer, 0, 8), 1);
  t.equal(native.read(other, buffer, 0, 8), 0, 'half closed');
  native.write(other, Buffer.from('back'), 0, 4);
  t.equal(native.read(one, buffer, 0, 8), 4);
  t.throws(() => native.shutdownWrite(writeEnd), { code: 'ENOTSOCK' });
  close(...all);
  t.equal(openDescriptors(), before);
  for (const fd of all) t.throws(() => native.close(fd), { code: 'EBADF', syscall: 'close' });
});

t.test('how a descriptor may be used', async t => {
  for (const [flags, mode] of [
    ['r', 0],
    ['a', 1],
    ['r+', 2],
  ] as const) {
    const fd = openSync(file, flags);
    t.equal(native.accessMode(fd), mode);
    closeSync(fd);
  }
  const path = openSync(file, O_PATH);
  t.throws(() => native.accessMode(path), { code: 'EBADF' }, 'O_PATH can do nothing');
  closeSync(path);
});

t.test('blocking and not', async t => {
  const [readEnd, writeEnd] = native.pipe();
  native.setNonBlocking(readEnd, 1);
  t.ok(flagsOf(readEnd) & O_NONBLOCK);
  native.setNonBlocking(readEnd, 0);
  t.notOk(flagsOf(readEnd) & O_NONBLOCK);
  close(readEnd, writeEnd);
});

/** In a process of its own: where the guard fails, it hangs. */
function guarded(make: string, call: string): unknown {
  return resultOf(`
    const full = Buffer.alloc(1 << 20);
    ${make}
    native.guard(1);
    const began = performance.now();
    let code = 'none';
    // Some bytes may still go; in the end none does.
    try { for (let i = 0; i < 10_000; i++) ${call} } catch (error) { code = error.code + ' ' + error.syscall; }
    const soon = performance.now() - began < 1000;
    // Another descriptor, right after and under the same guard.
    const [readEnd, writeEnd] = native.pipe();
    native.setNonBlocking(readEnd, 1);
    native.setNonBlocking(writeEnd, 1);
    const innocent = [native.read(readEnd, full, 0, 8), native.write(writeEnd, full, 0, 8), native.read(readEnd, full, 0, 8)];
    native.guard(0);
    process.stdout.write(JSON.stringify({ code, soon, innocent }));
  `);
}

t.test('the guard: a peer makes the description blocking behind our back', async t => {
  const innocent = [-1, 8, 8];
  const pipe = `const [r, w] = native.pipe(); native.setNonBlocking(w, 1); native.setNonBlocking(r, 1);`;
  const tty = `const [master, slave] = native.openPty(); native.setNonBlocking(slave, 1); native.makeRaw(slave);`;
  t.same(
    guarded(
      `${pipe} native.write(w, full, 0, full.length); native.setNonBlocking(w, 0);`,
      `native.write(w, full, 0, 8);`,
    ),
    { code: 'EDEADLK write', soon: true, innocent },
    'a full pipe',
  );
  t.same(
    guarded(
      `${tty} native.write(slave, full, 0, full.length); native.setNonBlocking(slave, 0);`,
      `native.write(slave, full, 0, 8);`,
    ),
    { code: 'EDEADLK write', soon: true, innocent },
    'a full terminal',
  );
  t.same(
    guarded(`${pipe} native.setNonBlocking(w, 0);`, `native.write(w, full, 0, full.length);`),
    { code: 'EDEADLK write', soon: true, innocent },
    'a pipe that fills',
  );
  t.same(
    guarded(`${pipe} native.setNonBlocking(r, 0);`, `native.read(r, full, 0, 8);`),
    { code: 'EDEADLK read', soon: true, innocent },
    'an empty pipe',
  );
  t.same(
    guarded(`${tty} native.setNonBlocking(slave, 0);`, `native.read(slave, full, 0, 8);`),
    { code: 'EDEADLK read', soon: true, innocent },
    'a terminal where nobody types',
  );
});

t.test('the guard: what came before the peer interfered is not lost', async t => {
  const found = resultOf(`
    const [r, w] = native.pipe();
    const buffer = Buffer.alloc(65536);
    native.write(w, Buffer.alloc(4096, 'x'), 0, 4096);
    native.guard(1);
    const first = native.read(r, buffer, 0, buffer.length);
    const second = codeOf(() => native.read(r, buffer, 0, buffer.length));
    native.guard(0);
    process.stdout.write(JSON.stringify({ first, second }));
  `);
  t.same(found, { first: 4096, second: 'EDEADLK' });
});

t.test('the guard: the peer flips the flag all the time', async t => {
  const found = resultOf(`
    import { spawn } from 'node:child_process';
    const [r, w] = native.pipe();
    native.setNonBlocking(w, 1);
    const full = Buffer.alloc(1 << 20);
    native.write(w, full, 0, full.length);
    const flip = ${JSON.stringify(`import { native } from '${new URL('../src/os/native.ts', import.meta.url).href}';
      const until = performance.now() + 2000;
      while (performance.now() < until) native.setNonBlocking(3, Math.random() < 0.5 ? 1 : 0);`)};
    const child = spawn(process.execPath, ['--input-type=module', '-e', flip], { stdio: ['ignore', 'inherit', 'inherit', w] });
    native.guard(1);
    let longest = 0, refused = 0, calls = 0;
    const step = () => {
      const began = performance.now();
      try { native.write(w, full, 0, 8); } catch (error) { if (error.code === 'EDEADLK') refused++; }
      longest = Math.max(longest, performance.now() - began);
      calls++;
    };
    const timer = setInterval(step, 1);
    child.on('exit', () => {
      clearInterval(timer);
      native.guard(0);
      process.stdout.write(JSON.stringify({ calls, refused, longest }));
    });
  `) as { calls: number; refused: number; longest: number };
  t.comment(JSON.stringify(found));
  t.ok(found.refused > 0);
  t.ok(found.longest < 3000);
});

t.test('the guard goes on and off', async t => {
  for (let i = 0; i < 20; i++) {
    native.guard(1);
    native.guard(1);
    native.guard(0);
    native.guard(0);
  }
  try {
    native.close(-1);
    t.fail();
  } catch (error) {
    t.equal(errorCode(error), 'EBADF');
  }
});

/** The addon's processes: exec as the shell needs it, pidfds, what may be traced. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { errorCode, native } from '../src/os/native.ts';
import { isRoot, nobody, self } from './support/account.ts';
import { beside, inChild, isTaps, resultOf, SANITIZER } from './support/child.ts';
import { closesOnExec } from './support/descriptors.ts';

const directory = t.testdir({ 'not-executable': '#!/bin/sh\n' });

/** exec with everything as it is; `more` replaces some of its arguments. */
function exec(path: string, argv: string[], more: { [name: string]: string } = {}): string {
  const { changes = '[]', fds = '[0, 1, 2]', ignored = '0n', blocked = '0n', nofile = '-1' } = more;
  const words = JSON.stringify(argv);
  return `native.exec(${JSON.stringify(path)}, ${words}, ${changes}, ${fds}, ${ignored}, ${blocked}, ${nofile});`;
}

t.test('becomes the program, with its arguments and status', async t => {
  const { status, stdout } = inChild(exec('/bin/sh', ['-sh', '-c', 'echo "$0:$1"; exit 7', 'zero', 'one']));
  t.equal(stdout, 'zero:one\n');
  t.equal(status, 7);
  t.equal(inChild(exec('/bin/sh', ['-sh', '-c', 'kill -TERM $$'])).signal, 'SIGTERM');
});

t.test('arguments and environment that are not UTF-8', async t => {
  const gone = [...Object.keys(SANITIZER), 'GONE'].map(name => `'${name}'`);
  const changes = String.raw`['BYTES=\xff\xfe=\x80', ${gone}, 'EMPTY=', 'NEW=1']`;
  const { stdout, stderr } = inChild(
    `${exec('/bin/cat', ['\xe9t\xe9', '/proc/self/cmdline', '/proc/self/environ'], { changes })}`,
    { env: { ...SANITIZER, PATH: '/bin', GONE: 'x', KEPT: 'k', NEW: '0', EMPTY: 'x' } },
  );
  t.equal(stderr, '');
  const strings = stdout.split('\0');
  t.same(strings.slice(0, 3), ['\xe9t\xe9', '/proc/self/cmdline', '/proc/self/environ']);
  const variables = strings.slice(3, -1).filter(variable => !isTaps(variable));
  t.same(variables.toSorted(), ['BYTES=\xff\xfe=\x80', 'EMPTY=', 'KEPT=k', 'NEW=1', 'PATH=/bin']);
});

t.test('no descriptor but 0, 1 and 2', async t => {
  const open = `fs.openSync('/dev/null'); native.pipe(); const [, w] = native.socketPair();`;
  const { stdout } = inChild(`${open} ${exec('/bin/ls', ['ls', '/proc/self/fd'])}`, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  // 3 is the directory that ls reads.
  t.equal(stdout, '0\n1\n2\n3\n');
});

t.test('any three descriptors become 0, 1 and 2', async t => {
  const child = beside(exec('/bin/sh', ['sh', '-c', 'cat; echo err >&2'], { fds: '[5, 3, 4]' }), {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe', 'pipe'],
  });
  const [, , , out, err, input] = child.stdio as unknown as NodeJS.ReadWriteStream[];
  const seen = { out: '', err: '' };
  out?.on('data', piece => (seen.out += piece));
  err?.on('data', piece => (seen.err += piece));
  input?.end('in\n');
  await once(child, 'close');
  t.same(seen, { out: 'in\n', err: 'err\n' });
});

t.test('signals and limits as they were told', async t => {
  const status = (own: { [name: string]: string }) => {
    // A sanitizer that is preloaded catches signals of its own.
    const more = { ...own, changes: "['LD_PRELOAD']" };
    const { stdout } = inChild(exec('/bin/cat', ['cat', '/proc/self/status', '/proc/self/limits'], more));
    const field = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s*(\\w+)$`, 'm').exec(stdout)?.[1]}`);
    const files = /^Max open files\s+(\d+)/m.exec(stdout)?.[1];
    return { ignored: field('SigIgn'), blocked: field('SigBlk'), caught: field('SigCgt'), files };
  };
  t.match(status({ nofile: '123' }), { ignored: 0n, blocked: 0n, caught: 0n, files: '123' });
  // In /proc bit N - 1 stands for signal N.
  const some = (1n << 1n) | (1n << 13n) | (1n << 15n) | (1n << 34n) | (1n << 63n);
  t.match(status({ ignored: `${some}n`, blocked: `${some}n` }), { ignored: some >> 1n, blocked: some >> 1n });
  const never = (1n << 9n) | (1n << 19n);
  t.match(status({ ignored: `${never}n`, blocked: `${never}n` }), { ignored: 0n, blocked: 0n });
});

t.test('what cannot be executed', async t => {
  const attempt = (path: string) =>
    resultOf(`
    const error = (() => { try { ${exec(path, ['x'])} } catch (error) { return error; } })();
    // Node still works: its descriptors were only marked.
    setTimeout(() => process.stdout.write(JSON.stringify([error.code, error.syscall])), 10);`);
  t.same(attempt('/nonexistent'), ['ENOENT', 'execve']);
  t.same(attempt(join(directory, 'not-executable')), ['EACCES', 'execve']);
  t.same(attempt(directory), ['EACCES', 'execve']);
  t.same(attempt('x'.repeat(5_000)), ['ENAMETOOLONG', 'string']);
  t.same(attempt('/etc/passwd/x'), ['ENOTDIR', 'execve']);
});

t.test('descriptors that would mislead', async t => {
  for (const [fds, code] of [
    ['[1, 0, 2]', 'EINVAL'],
    ['[2, 1, 2]', 'EINVAL'],
    ['[0, 1, 999]', 'EBADF'],
    ['[0, -1, 2]', 'EINVAL'],
    ['[0, 1]', 'ERR_INVALID_ARG_VALUE'],
    ['null', 'TypeError'],
    ['7', 'ERR_INVALID_ARG_VALUE'],
  ] as const) {
    const call = exec('/bin/true', ['true'], { fds });
    t.equal(resultOf(`process.stdout.write(JSON.stringify(codeOf(() => { ${call} })));`), code, fds);
  }
});

t.test('a process by its descriptor', async t => {
  const told = async (command: string): Promise<number> => {
    const child = spawn('/bin/sh', ['-c', `read _; ${command}`], {
      // Without a sanitizer, which may have a word in the status.
      env: { PATH: '/usr/bin:/bin' },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const pidfd = native.pidfdOpen(child.pid as number);
    t.ok(closesOnExec(pidfd));
    const exited = new Promise<void>(resolve => {
      const poll = new native.Poll(pidfd, () => {
        poll.close();
        resolve();
      });
      poll.start(native.READABLE);
    });
    t.equal(native.pidfdExitStatus(pidfd), -1, 'it lives');
    child.stdin.end('\n');
    await Promise.all([exited, once(child, 'exit')]);
    const status = native.pidfdExitStatus(pidfd);
    native.close(pidfd);
    return status;
  };
  try {
    t.equal(await told('exit 0'), 0);
    t.equal(await told('exit 7'), 7 << 8);
    t.equal(await told('kill -KILL $$'), 9);
    t.equal(await told('kill -TERM $$'), 15);
  } catch (error) {
    if (!['ENOTTY', 'EINVAL'].includes(errorCode(error) ?? '')) throw error;
    t.pass('the exit status', { skip: 'PIDFD_GET_INFO: this kernel is older than Linux 6.15' });
  }
});

t.test('a process that is gone, and what is no process', async t => {
  const child = spawn('/bin/true');
  await once(child, 'exit');
  t.throws(() => native.pidfdOpen(child.pid as number), { code: 'ESRCH', syscall: 'pidfd_open' });
  t.throws(() => native.pidfdOpen(0), { code: 'EINVAL' });
  const [readEnd, writeEnd] = native.pipe();
  t.throws(() => native.pidfdExitStatus(readEnd), { code: 'ENOTTY', syscall: 'PIDFD_GET_INFO' });
  native.close(readEnd);
  native.close(writeEnd);
});

t.test('a process that nobody of the same account looks into', async t => {
  const { uid, gid } = isRoot ? nobody : self;
  const wait = `process.stdout.write('.'); setTimeout(() => {}, 60_000);`;
  for (const [dumpable, code] of [
    [1, 'ok'],
    [0, 'EACCES'],
  ] as const) {
    const child = beside(`native.setDumpable(${dumpable}); ${wait}`, { uid, gid });
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    const look = `process.stdout.write(JSON.stringify(codeOf(() => fs.readFileSync('/proc/${child.pid}/environ'))));`;
    t.equal(resultOf(look, { uid, gid }), code, `dumpable ${dumpable}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

t.test('a signal ignored, and not any more', async t => {
  const kill = `process.kill(process.pid, 'SIGHUP');`;
  t.equal(inChild(`native.ignoreSignal(1, 1); ${kill} ${kill} process.exitCode = 5;`).status, 5);
  t.equal(inChild(`native.ignoreSignal(1, 1); native.ignoreSignal(1, 0); ${kill}`).signal, 'SIGHUP');
  t.throws(() => native.ignoreSignal(9, 1), { code: 'EINVAL', syscall: 'signal' });
  t.throws(() => native.ignoreSignal(0, 1), { code: 'EINVAL' });
});

t.test('who this process is', async t => {
  const ids = ['Uid', 'Gid'].flatMap(name => {
    const line = new RegExp(`^${name}:\\s*(\\d+)\\s+(\\d+)\\s+(\\d+)`, 'm');
    return line.exec(readFileSync('/proc/self/status', 'utf8'))?.slice(1).map(Number);
  });
  t.same(native.userIds(), ids);
  t.equal(typeof native.sessionId(), 'number');
});

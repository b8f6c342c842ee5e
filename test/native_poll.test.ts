/** The addon's Poll: a descriptor watched by the event loop. */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { native, type Poll } from '../src/os/native.ts';
import { inChild, resultOf } from './support/child.ts';

const { READABLE, WRITABLE } = native;

function close(...fds: number[]): void {
  for (const fd of fds) native.close(fd);
}

/** A pair of sockets, one of them watched. */
function watched(): { near: number; far: number; poll: Poll; events: number[]; next: () => Promise<number> } {
  const [near, far] = native.socketPair();
  const events: number[] = [];
  let wake = () => {};
  const poll = new native.Poll(near, event => {
    events.push(event);
    poll.start(0);
    wake();
  });
  const next = async () => {
    if (events.length === 0) await new Promise<void>(resolve => (wake = resolve));
    return events.shift() as number;
  };
  return { near, far, poll, events, next };
}

t.test('readable, writable, both, none', async t => {
  const { near, far, poll, events, next } = watched();
  poll.start(READABLE);
  await sleep(30);
  t.same(events, [], 'nothing to read');
  native.write(far, Buffer.from('x'), 0, 1);
  t.equal(await next(), READABLE);
  await sleep(30);
  t.same(events, [], 'stopped');
  poll.start(WRITABLE);
  t.equal(await next(), WRITABLE);
  poll.start(READABLE | WRITABLE);
  t.equal(await next(), READABLE | WRITABLE);
  native.read(near, Buffer.alloc(8), 0, 8);
  poll.start(READABLE);
  native.close(far);
  t.equal(await next(), READABLE, 'hung up');
  poll.close();
  native.close(near);
});

t.test('an error is told as readiness', async t => {
  const [readEnd, writeEnd] = native.pipe();
  const told = Promise.withResolvers<number>();
  const poll = new native.Poll(writeEnd, told.resolve);
  native.setNonBlocking(writeEnd, 1);
  native.write(writeEnd, Buffer.alloc(70_000), 0, 70_000);
  poll.start(WRITABLE);
  native.close(readEnd);
  t.ok((await told.promise) & WRITABLE);
  poll.close();
  native.close(writeEnd);
});

t.test('closed within its own callback', async t => {
  for (let i = 0; i < 200; i++) {
    const [near, far] = native.socketPair();
    await new Promise<void>(resolve => {
      const poll = new native.Poll(near, () => {
        poll.close();
        close(near, far);
        resolve();
      });
      poll.start(WRITABLE);
    });
  }
  t.pass('200 times');
});

t.test('closed by the callback of another', async t => {
  const pairs = Array.from({ length: 32 }, () => native.socketPair());
  let calls = 0;
  const polls: Poll[] = [];
  for (const [near] of pairs) {
    polls.push(
      new native.Poll(near, () => {
        calls++;
        for (const poll of polls.splice(0)) poll.close();
      }),
    );
  }
  for (const poll of polls) poll.start(WRITABLE);
  await sleep(50);
  t.equal(calls, 1, 'no callback after close');
  close(...pairs.flat());
});

t.test('a closed one', async t => {
  const [near, far] = native.socketPair();
  const poll = new native.Poll(near, () => {});
  poll.close();
  t.throws(() => poll.close(), TypeError);
  t.throws(() => poll.start(READABLE), TypeError);
  const again = new native.Poll(near, () => {});
  again.start(READABLE);
  again.close();
  close(near, far);
});

t.test('one that nobody closes is collected, and no descriptor with it', async t => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const [near, far] = native.socketPair();
  const gone: WeakRef<Poll>[] = [];
  (() => {
    for (let i = 0; i < 100; i++) gone.push(new WeakRef(new native.Poll(near, () => {})));
  })();
  for (let i = 0; i < 20 && gone.some(ref => ref.deref()); i++) {
    await turn();
    gc();
  }
  t.equal(gone.filter(ref => ref.deref()).length, 0);
  await turn();
  native.write(near, Buffer.from('x'), 0, 1);
  t.equal(native.read(far, Buffer.alloc(8), 0, 8), 1, 'the descriptor is still open');
  close(near, far);
});

t.test('a started one is not collected while its callback is reachable only by it', async t => {
  const gc = runInNewContext('gc') as () => void;
  const [near, far] = native.socketPair();
  const told = Promise.withResolvers<void>();
  (() => {
    const poll = new native.Poll(near, () => {
      poll.close();
      told.resolve();
    });
    poll.start(READABLE);
  })();
  for (let i = 0; i < 10; i++) {
    await turn();
    gc();
  }
  native.write(far, Buffer.from('x'), 0, 1);
  await told.promise;
  t.pass('told');
  close(near, far);
});

t.test('what cannot be waited for', async t => {
  const path = join(t.testdir({ file: '' }), 'file');
  const fd = openSync(path, 'r');
  t.throws(() => new native.Poll(fd, () => {}), { code: 'EPERM', syscall: 'epoll_ctl' });
  closeSync(fd);
  t.throws(() => new native.Poll(fd, () => {}), { code: 'EBADF' });
  t.throws(() => new native.Poll(-1, () => {}), { code: 'EBADF' });
});

t.test('called as what it is not', async t => {
  const [near, far] = native.socketPair();
  const make = native.Poll as unknown as (...args: unknown[]) => unknown;
  const construct = native.Poll as unknown as new (...args: unknown[]) => Poll;
  t.throws(() => make(near, () => {}), TypeError, 'without new');
  t.throws(() => Reflect.apply(make, {}, [near, () => {}]), TypeError);
  t.throws(() => new construct(near), TypeError);
  t.throws(() => new construct(near, 'no function'), TypeError);
  t.throws(() => new construct(near, null), TypeError);
  t.throws(() => new construct('x', () => {}), TypeError);
  const poll = new native.Poll(near, () => {});
  const loose = poll.start as unknown as (...args: unknown[]) => unknown;
  t.throws(() => loose.call({}, READABLE), TypeError);
  t.throws(() => loose.call(undefined, READABLE), TypeError);
  t.throws(() => loose.call(poll), TypeError);
  t.throws(() => loose.call(poll, 'READABLE'), TypeError);
  poll.close();
  close(near, far);
});

t.test('an exception in the callback is uncaught, and no crash', async t => {
  const outcome = inChild(`
    const [near] = native.socketPair();
    const poll = new native.Poll(near, () => { poll.close(); throw new Error('from the callback'); });
    poll.start(native.WRITABLE);
  `);
  t.equal(outcome.status, 1);
  t.match(outcome.stderr, 'from the callback');
  const caught = resultOf(`
    const [near] = native.socketPair();
    let calls = 0;
    process.on('uncaughtException', error => { if (error.message === 'again') calls++; });
    const poll = new native.Poll(near, () => {
      if (calls === 3) { poll.close(); process.stdout.write(JSON.stringify(calls)); }
      throw new Error('again');
    });
    poll.start(native.WRITABLE);
  `);
  t.equal(caught, 3);
});

t.test('the end of the process, or of a worker, with one that is open', async t => {
  const code = `
    const [near] = native.socketPair();
    globalThis.poll = new native.Poll(near, () => {});
    poll.start(native.READABLE);`;
  t.match(inChild(`${code} process.exit(3)`), { status: 3, stderr: '' });
  const url = JSON.stringify(new URL('../src/os/native.ts', import.meta.url).href);
  const worker = `
    import { Worker } from 'node:worker_threads';
    const source = \`const { native } = await import(${url}); ${code} setTimeout(() => process.exit(0), 20);\`;
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
    worker.on('exit', status => process.stdout.write(JSON.stringify(status)));`;
  t.equal(resultOf(worker), 0);
});

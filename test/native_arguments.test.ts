/** The addon under wrong arguments: each call throws, none crashes or does half of something. */
import t from 'tap';
import { native } from '../src/os/native.ts';
import { inChild, isTaps, resultOf, SANITIZER } from './support/child.ts';

/** Functions that take nothing; there is nothing wrong to give them. */
const WITHOUT = ['pipe', 'socketPair', 'openPty', 'sessionId', 'setsid', 'userIds'];

/** How many arguments each of the others needs. */
const ARITY: Readonly<Record<string, number>> = {
  guard: 1,
  read: 4,
  write: 4,
  pwrite: 5,
  close: 1,
  setNonBlocking: 2,
  accessMode: 1,
  describe: 1,
  closeForeign: 1,
  shutdownWrite: 1,
  connect: 2,
  listen: 3,
  isListening: 1,
  isConnected: 1,
  accept: 1,
  peerCredentials: 1,
  sendMessage: 3,
  receiveMessage: 5,
  ptyNumber: 1,
  ttyName: 1,
  getTermios: 1,
  setTermios: 2,
  makeRaw: 1,
  getWindowSize: 1,
  copyWindowSize: 2,
  setExclusive: 1,
  unsetExclusive: 1,
  releaseControllingTerminal: 1,
  controllingSession: 1,
  setControllingTerminal: 1,
  setDumpable: 1,
  ignoreSignal: 2,
  exec: 7,
  pidfdOpen: 1,
  pidfdExitStatus: 1,
};

const functions = Object.entries(native)
  .filter(([name, value]) => typeof value === 'function' && name !== 'Poll')
  .map(([name]) => name);

/** Source of values of which none is right for any function, in children with no descriptor of these numbers. */
const WRONG = String.raw`
  const detached = new Uint8Array(8); structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const WRONG = [
    undefined, null, true, NaN, Infinity, -Infinity, 0.5, -1.5, 2 ** 31, -(2 ** 31) - 1, 2 ** 53, 1e300, -1, 1e9,
    'x\0y', 'x'.repeat(5000), Symbol('s'), 10n, -1n, 2n ** 64n, {}, [], [null], ['a', 1], [,], () => {}, new Date(),
    new Proxy([], {}), Object.defineProperty([1], 0, { get() { throw new RangeError('getter'); } }),
    new Uint16Array(8), new Float64Array(8), new DataView(new ArrayBuffer(8)), new ArrayBuffer(8), detached,
    new Uint8Array(0), { length: 3 }, { valueOf() { throw new RangeError('valueOf'); } },
  ];`;

t.test('every function is in the table', async t => {
  t.same([...functions].toSorted(), [...WITHOUT, ...Object.keys(ARITY)].toSorted());
});

t.test('too few arguments', async t => {
  for (const [name, arity] of Object.entries(ARITY)) {
    const call = native[name as 'close'] as (...args: unknown[]) => unknown;
    for (let count = 0; count < arity; count++) {
      t.throws(() => call(...Array(count).fill(-1)), TypeError, `${name} of ${count}`);
    }
  }
});

t.test('arguments of every wrong kind', async t => {
  // -1 and 1e9 are integers, and what they do must fail in the kernel; guard, and what only asks, takes them.
  const harmless = ['guard', 'controllingSession'];
  const found = resultOf(`${WRONG}
    const wrongly = [];
    let seed = 20261121;
    const random = below => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) % below;
    for (const [name, arity] of Object.entries(${JSON.stringify(ARITY)})) {
      const rounds = arity === 1 ? WRONG.length : 2000;
      for (let round = 0; round < rounds; round++) {
        const args = Array.from({ length: arity }, () => WRONG[arity === 1 ? round : random(WRONG.length)]);
        try {
          native[name](...args);
          const integers = args.every(value => value === -1 || value === 1e9);
          if (!(integers && ${JSON.stringify(harmless)}.includes(name))) wrongly.push(name + ': ' + args.map(a => typeof a));
        } catch (error) {
          if (!(error instanceof Error)) wrongly.push(name + ' threw ' + typeof error);
        }
      }
    }
    native.guard(0);
    process.stdout.write(JSON.stringify(wrongly));`);
  t.same(found, []);
});

t.test('right arguments but for one', async t => {
  const found = resultOf(`${WRONG}
    const [near, far] = native.socketPair();
    const [master, slave] = native.openPty();
    const buffer = Buffer.alloc(16);
    const right = {
      read: [near, buffer, 0, 8], write: [near, buffer, 0, 8], pwrite: [near, buffer, 0, 8, 0],
      setNonBlocking: [near, 1], sendMessage: [near, buffer, [far]], receiveMessage: [near, buffer, 0, 8, 2],
      setTermios: [slave, native.getTermios(slave)], copyWindowSize: [master, slave],
      exec: ['/bin/true', ['true'], ['A=b'], [0, 1, 2], 0n, 0n, -1],
    };
    // What is wrong for one may be right for another place.
    const fitting = {
      'setNonBlocking 1': [-1, 1e9], 'receiveMessage 4': [1e9], 'sendMessage 1': ['Uint8Array'], 'sendMessage 2': ['Array'],
      'pwrite 4': [1e9, 2 ** 31, 2 ** 53, 0.5, NaN, Infinity, -Infinity, 1e300],
      'exec 6': ['number'], 'exec 1': ['Array'], 'exec 2': ['Array'], 'exec 0': ['none'], 'exec 4': [10n], 'exec 5': [10n],
    };
    const wrongly = [];
    native.setNonBlocking(near, 1);
    native.setNonBlocking(far, 1);
    for (const [name, args] of Object.entries(right)) {
      for (let place = 0; place < args.length; place++) {
        for (const wrong of WRONG) {
          const fits = fitting[name + ' ' + place] ?? [];
          const kind = Array.isArray(wrong) ? 'Array' : wrong instanceof Uint8Array ? 'Uint8Array' : typeof wrong;
          if (fits.includes(wrong) || fits.includes(kind)) continue;
          try {
            native[name](...args.with(place, wrong));
            wrongly.push(name + ' ' + place + ': ' + kind + ' ' + String(wrong).slice(0, 20));
          } catch (error) {
            if (!(error instanceof Error)) wrongly.push(name + ' threw ' + typeof error);
          }
        }
      }
    }
    process.stdout.write(JSON.stringify(wrongly));`);
  t.same(found, []);
});

t.test('ranges outside of the buffer', async t => {
  const [near, far] = native.socketPair();
  const buffer = Buffer.alloc(16);
  native.setNonBlocking(near, 1);
  for (const [offset, length] of [
    [0, 17],
    [16, 1],
    [17, 0],
    [-1, 8],
    [8, -1],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [9, 8],
  ] as const) {
    t.throws(() => native.read(near, buffer, offset, length), TypeError);
    t.throws(() => native.write(near, buffer, offset, length), TypeError);
    t.throws(() => native.pwrite(near, buffer, offset, length, 0), TypeError);
    t.throws(() => native.receiveMessage(near, buffer, offset, length, 0), TypeError);
  }
  native.close(near);
  native.close(far);
});

t.test('a view of memory that is shared or in the middle of something', async t => {
  const [near, far] = native.socketPair();
  native.setNonBlocking(near, 1);
  native.setNonBlocking(far, 1);
  const whole = new Uint8Array(new SharedArrayBuffer(32));
  const middle = whole.subarray(8, 16);
  native.write(near, Buffer.from('abcdefghij'), 0, 10);
  t.equal(native.read(far, middle, 2, 6), 6);
  t.equal(Buffer.from(whole).toString('latin1'), `${'\0'.repeat(10)}abcdef${'\0'.repeat(16)}`);
  t.throws(() => native.read(far, middle, 2, 7), TypeError);
  native.close(near);
  native.close(far);
});

t.test('the environment that exec is to make', async t => {
  const changes = JSON.stringify(['', '=x', 'A==', 'B=1', 'B', 'C', ...Object.keys(SANITIZER)]);
  const { stdout } = inChild(
    `native.exec('/bin/cat', ['cat', '/proc/self/environ'], ${changes}, [0, 1, 2], 0n, 0n, NaN);`,
    { env: SANITIZER },
  );
  const variables = stdout.split('\0').filter(variable => !isTaps(variable));
  t.same(variables, ['A==', '']);
});

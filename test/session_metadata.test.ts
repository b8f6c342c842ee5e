/** Session metadata and spool names: what is taken, and what is refused by name. */
import fc from 'fast-check';
import t from 'tap';
import {
  isSessionId,
  MetadataError,
  nameProblem,
  parseSessionEnd,
  parseSessionStart,
  type SessionEnd,
  type SessionStart,
  sessionId,
} from '../src/session/metadata.ts';
import { parseSpoolName, spoolName } from '../src/session/spool.ts';
import { bitFlips, generator } from './support/random.ts';

const SEED = 20261121;

const START: SessionStart = {
  version: 1,
  id: 'abcdefgh234567yz',
  hostname: 'bastion',
  username: 'alice',
  gecos: 'Alice Tester,Room 1',
  started: '2026-11-21T21:24:20.123456Z',
  mode: 'tty',
  rows: 24,
  columns: 80,
  kernel: {
    uid: 1001,
    gid: 1001,
    pid: 4711,
    loginuid: null,
    audit_session: 3,
    parent_pid: 4710,
    parent_comm: 'sshd',
    home: '/home/alice',
    shell: '/bin/bash',
    tty: '/dev/pts/3',
  },
  claims: { ssh_client: '192.0.2.7 51515 22', argv: ['-bash'] },
};

const END: SessionEnd = {
  reason: 'exit',
  status: 7,
  signal: null,
  streams: { output: { bytes: 10, recorded: 10, sha256: null } },
};

/** A value in the name of a test, in a line of ASCII. */
function shown(value: unknown): string {
  return `${JSON.stringify(value)}`.replace(/[^ -~]/g, '?').slice(0, 40);
}

/** The member that a MetadataError names; null when the text is taken. */
function culprit(parse: (text: string) => unknown, value: unknown): string | null {
  try {
    parse(typeof value === 'string' ? value : JSON.stringify(value));
    return null;
  } catch (error) {
    if (error instanceof MetadataError) return error.member;
    throw error;
  }
}

t.test('round trip', async t => {
  t.strictSame(parseSessionStart(JSON.stringify(START)), START);
  t.strictSame(parseSessionEnd(JSON.stringify(END)), END);
  t.equal(
    culprit(parseSessionStart, { ...START, kernel: null, rows: null, columns: null, mode: 'legacy' }),
    null,
  );
});

t.test('each member, missing and wrong', async t => {
  const wrong: { [member: string]: unknown[] } = {
    version: [0, 2, '1', null],
    id: ['', 'abc', 'ABCDEFGH234567YZ', 'abcdefgh234567y1', '../../../../etc/x', 17, null],
    hostname: ['', '.', '..', 'a/b', 'a\0b', 'a\nb', 'x'.repeat(256), '\ud800', 7, null],
    username: ['', '.', '..', '../../x', 'a\rb', '\u0085', '\u2028', 'ä'.repeat(128), {}],
    gecos: [null, 7],
    started: [
      '',
      '2026-11-21',
      '2026-13-21T21:24:20Z',
      '2026-11-21T24:24:20Z',
      '2026-11-21T21:24:20+01:00',
      7,
    ],
    mode: ['', 'TTY', 'shell', null],
    rows: [-1, 1.5, 65_536, '24', {}],
    columns: [-1, 1.5, 65_536, '80'],
    kernel: ['x', 7, []],
    claims: [null, 'x', 7, []],
  };
  for (const [member, values] of Object.entries(wrong)) {
    for (const value of values) {
      t.equal(culprit(parseSessionStart, { ...START, [member]: value }), member, `${member} ${shown(value)}`);
    }
    const { [member as 'id']: _, ...rest } = START;
    t.equal(culprit(parseSessionStart, rest), member, `${member} missing`);
  }
});

t.test('each member of the end', async t => {
  const total = { bytes: 1, recorded: 1, sha256: null };
  for (const [member, value, name = member] of [
    ['reason', 7],
    ['reason', undefined],
    ['status', -1],
    ['status', 256],
    ['status', '7'],
    ['status', undefined],
    ['signal', 1.5],
    ['streams', null],
    ['streams', []],
    ['streams', { output: null }, 'streams.output'],
    ['streams', { output: { ...total, bytes: -1 } }, 'streams.output'],
    ['streams', { output: { ...total, recorded: '1' } }, 'streams.output'],
  ] as const) {
    t.equal(culprit(parseSessionEnd, { ...END, [member]: value }), name, `${member} ${shown(value)}`);
  }
});

t.test('what is no object', async t => {
  for (const text of ['', '{', 'null', '[]', '7', '"x"', 'true', '\0', `${'['.repeat(60_000)}`]) {
    t.equal(culprit(parseSessionStart, text), 'metadata');
    t.equal(culprit(parseSessionEnd, text), 'metadata');
  }
});

t.test('flipped bits and cuts: metadata or a MetadataError', async t => {
  for (const [parse, value] of [
    [parseSessionStart, START],
    [parseSessionEnd, END],
  ] as const) {
    const text = Buffer.from(JSON.stringify(value));
    for (const flipped of bitFlips(text)) culprit(parse, flipped.toString());
    for (let length = 0; length < text.length; length++) {
      if (culprit(parse, text.toString('utf8', 0, length)) === null) t.fail(`cut at ${length}`);
    }
    const random = generator(SEED);
    for (let round = 0; round < 2_000; round++) {
      const noise = Buffer.from(text);
      for (let i = random(8); i >= 0; i--) noise[random(noise.length)] = random(256);
      culprit(parse, noise.toString());
    }
  }
  t.pass();
});

t.test('JSON of any shape', async t => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      culprit(parseSessionStart, JSON.stringify(value));
      culprit(parseSessionEnd, JSON.stringify(value));
    }),
    { seed: SEED, numRuns: 500 },
  );
  const members = Object.keys(START);
  fc.assert(
    fc.property(fc.constantFrom(...members), fc.jsonValue(), (member, value) => {
      culprit(parseSessionStart, { ...START, [member]: value });
    }),
    { seed: SEED, numRuns: 1_000 },
  );
  t.pass();
});

t.test('ids', async t => {
  t.equal(sessionId(new Uint8Array(10)), 'aaaaaaaaaaaaaaaa');
  t.equal(sessionId(new Uint8Array(10).fill(255)), '7777777777777777');
  t.equal(sessionId(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)), 'aaaqeayeaudaocaj', 'as base32(1) has it');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 10, maxLength: 10 }), random => isSessionId(sessionId(random))),
    { seed: SEED },
  );
  for (const wrong of [
    undefined,
    null,
    7,
    '',
    'aaaaaaaaaaaaaaa',
    'aaaaaaaaaaaaaaaaa',
    'aaaaaaaaaaaaaaa1',
    'aaaaaaaaaaaaaaa\n',
    'aaaaaaaaaaaaaaaa\n',
  ]) {
    t.notOk(isSessionId(wrong));
  }
});

t.test('names that become directories', async t => {
  for (const name of ['alice', 'a', 'x'.repeat(255), 'ä', 'a b', '-rf', '...', 'CORP\\alice', 'alice@corp']) {
    t.equal(nameProblem(name), null, shown(name));
  }
  for (const name of [
    '',
    '.',
    '..',
    '/',
    'a/',
    '\0',
    '\x7f',
    '\x1b[2J',
    'x'.repeat(256),
    'ä'.repeat(128),
    '\udc00',
  ]) {
    t.type(nameProblem(name), 'string', shown(name));
  }
});

t.test('names of spool files', async t => {
  t.same(parseSpoolName(spoolName(START.id, 'live')), { id: START.id, state: 'live' });
  t.same(parseSpoolName(spoolName(START.id, 'done')), { id: START.id, state: 'done' });
  for (const name of [
    '',
    START.id,
    `${START.id}.`,
    `${START.id}.new`,
    `${START.id}.live.x`,
    `.${START.id}.live`,
    'README',
    `${START.id}.live~`,
  ]) {
    t.equal(parseSpoolName(name), null, name);
  }
});

/** The hello, ours and the original's, and the answer: cut, in pieces, and wrong. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import {
  type Answer,
  decodeAnswer,
  decodeHello,
  encodeAnswer,
  encodeHello,
  type Hello,
  HelloError,
} from '../src/session/hello.ts';
import { MAX_HELLO } from '../src/session/limits.ts';
import { bitFlips, generator } from './support/random.ts';

const SEED = 20261121;
const ORIGINAL = readFileSync(join(import.meta.dirname, 'fixtures/original/client-hello.bin'));

const HELLO: Hello = {
  mode: 'tty',
  claims: { ssh_tty: '/dev/pts/3', ssh_client: '192.0.2.7 51515 22', argv: ['-bash', 'é'], tty_shared: true },
};
const bytes = encodeHello(HELLO);

/** Our frame around any text. */
function framed(text: string | Buffer, length = Buffer.byteLength(text)): Buffer {
  const header = Buffer.from('\xf5ttyspy\x01\0\0\0\0', 'latin1');
  header.writeUInt32BE(length, 8);
  return Buffer.concat([header, Buffer.from(text as string)]);
}

/** Fails for anything thrown but a HelloError. */
function attempt(input: Buffer, decode: (input: Buffer) => unknown = decodeHello): unknown {
  try {
    return decode(input);
  } catch (error) {
    if (error instanceof HelloError) return error;
    throw error;
  }
}

t.test('round trip', async t => {
  t.strictSame(decodeHello(bytes), HELLO);
  const text = fc.string({ unit: 'binary', maxLength: 200 });
  const claims = fc.record(
    {
      ssh_tty: text,
      ssh_client: text,
      ssh_connection: text,
      ssh_original_command: text,
      term: text,
      lang: text,
      argv: fc.array(text),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.constantFrom('tty' as const, 'command' as const), claims, (mode, claims) => {
      t.strictSame(decodeHello(encodeHello({ mode, claims })), { mode, claims });
    }),
    { seed: SEED, numRuns: 200 },
  );
});

t.test('cut at every length: more is needed', async t => {
  for (let length = 0; length < bytes.length; length++) {
    if (decodeHello(bytes.subarray(0, length)) !== null) t.fail(`cut at ${length}`);
  }
  t.pass(`${bytes.length} lengths`);
});

t.test("the original's hello, cut at every length, and with output behind it", async t => {
  for (let length = 0; length < 512; length++) {
    if (decodeHello(ORIGINAL.subarray(0, length)) !== null) t.fail(`cut at ${length}`);
  }
  const claims = { ssh_tty: '/dev/pts/7', ssh_client: '192.0.2.7 51515 22' };
  t.strictSame(decodeHello(ORIGINAL), { mode: 'legacy', claims, rest: Buffer.alloc(0) });
  const more = Buffer.concat([ORIGINAL, Buffer.from('first output')]);
  t.strictSame(decodeHello(more), { mode: 'legacy', claims, rest: Buffer.from('first output') });
  t.strictSame(
    decodeHello(Buffer.alloc(512)),
    { mode: 'legacy', claims: {}, rest: Buffer.alloc(0) },
    'without a tty',
  );
  const full = decodeHello(Buffer.alloc(512, 'x'));
  t.match(full, { claims: { ssh_tty: 'x'.repeat(256), ssh_client: 'x'.repeat(256) } }, 'without NUL');
});

t.test('flipped bits: a hello, more wanted, or a HelloError', async t => {
  let wrong = 0;
  for (const flipped of bitFlips(bytes)) if (attempt(flipped) instanceof HelloError) wrong++;
  t.ok(wrong > bytes.length, `${wrong} of ${bytes.length * 8} are refused`);
  for (const flipped of bitFlips(ORIGINAL)) attempt(flipped);
});

t.test('noise', async t => {
  const random = generator(SEED);
  for (let round = 0; round < 3_000; round++) {
    const noise = Buffer.from(bytes);
    for (let i = random(10); i >= 0; i--) noise[random(noise.length)] = random(256);
    attempt(noise);
    attempt(framed(noise.subarray(random(noise.length))));
    attempt(Buffer.from(Array.from({ length: random(600) }, () => random(256))));
    attempt(noise, decodeAnswer);
  }
  t.pass('3000 rounds');
});

t.test('what is no hello', async t => {
  for (const [input, message] of [
    [Buffer.from('\xf5x', 'latin1'), /unknown version/],
    [Buffer.from('\xf5ttyspy\x02', 'latin1'), /unknown version/],
    [framed('', MAX_HELLO + 1), /65537 bytes, the most is 65536/],
    [framed('', 0xffff_ffff), /4294967295 bytes/],
    [framed(''), /not JSON/],
    [framed('{'), /not JSON/],
    [framed(`${'['.repeat(60_000)}`), /not JSON/],
    [framed('null'), /not a JSON object/],
    [framed('[]'), /not a JSON object/],
    [framed('"tty"'), /not a JSON object/],
    [framed('{}'), /unknown mode/],
    [framed('{"mode":"legacy","claims":{}}'), /unknown mode/],
    [framed('{"mode":"tty"}'), /claims are not an object/],
    [framed('{"mode":"tty","claims":null}'), /claims are not an object/],
    [framed('{"mode":"tty","claims":{"term":7}}'), /claim term is not a string/],
    [framed('{"mode":"tty","claims":{"argv":"x"}}'), /claim argv is not a list/],
    [framed('{"mode":"tty","claims":{"argv":["x",7]}}'), /claim argv is not a list/],
    [Buffer.concat([bytes, Buffer.from('x')]), /bytes after the hello/],
  ] as const) {
    const error = attempt(input);
    t.type(error, HelloError, String(message));
    t.match((error as Error).message, message);
  }
});

t.test('what is said beside the claims is not recorded', async t => {
  const text =
    '{"mode":"tty","uid":0,"claims":{"uid":0,"term":"x","tty_shared":"yes","__proto__":{"lang":"y"}}}';
  t.strictSame(decodeHello(framed(text)), { mode: 'tty', claims: { term: 'x' } });
});

t.test('claims that are too long are cut', async t => {
  for (const claims of [
    { ssh_original_command: 'x'.repeat(200_000) },
    { ssh_original_command: '\x01'.repeat(200_000), ssh_client: '"'.repeat(100_000) },
    { argv: Array(100_000).fill('word') },
    { argv: ['\u{1f600}'.repeat(100_000)], term: 'xterm' },
  ]) {
    const cut = encodeHello({ mode: 'command', claims });
    t.ok(cut.length <= MAX_HELLO + 12, `${cut.length} bytes`);
    t.type((decodeHello(cut) as Hello).claims, 'object');
  }
  const kept = decodeHello(
    encodeHello({ mode: 'tty', claims: { term: 'xterm', argv: ['x'.repeat(200_000)] } }),
  );
  t.match(kept, { claims: { term: 'xterm', argv: [/^x{1000,}…$/] } });
});

t.test('the answer', async t => {
  for (const answer of [
    { ok: true, id: 'abcdefgh234567yz' },
    { ok: false, code: 'limit', message: 'no room' },
  ] satisfies Answer[]) {
    const whole = encodeAnswer(answer);
    t.strictSame(decodeAnswer(whole), answer);
    for (let length = 0; length < whole.length; length++) {
      if (decodeAnswer(whole.subarray(0, length)) !== null) t.fail(`cut at ${length}`);
    }
    for (const flipped of bitFlips(whole)) attempt(flipped, decodeAnswer);
  }
  for (const text of ['{}', '{"ok":true}', '{"ok":false}', '{"ok":true,"id":7}', '[]', 'x']) {
    t.type(attempt(framed(text).subarray(8), decodeAnswer), HelloError, text);
  }
});

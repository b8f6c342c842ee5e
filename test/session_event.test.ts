/** The event codec: round trips, every cut, and bytes that are wrong. */
import fc from 'fast-check';
import t from 'tap';
import {
  decodeResize,
  EVENT_HEADER,
  type Event,
  EventDecoder,
  EventError,
  encodeEvent,
  encodeResize,
  Kind,
  writeEventHeader,
} from '../src/session/event.ts';
import { MAX_EVENT_PAYLOAD } from '../src/session/limits.ts';
import { generator } from './support/random.ts';

const SEED = 20261121;

/** Events as a session may have them: times that do not run backwards, at most one exit, at the end. */
const events: fc.Arbitrary<Event[]> = fc
  .record({
    parts: fc.array(
      fc.record({
        step: fc.oneof(fc.nat(2_000_000), fc.constant(0), fc.constant(2 ** 40)),
        kind: fc.integer({ min: Kind.output, max: Kind.marker }),
        bytes: fc.uint8Array({ maxLength: 80 }),
      }),
      { maxLength: 12 },
    ),
    ends: fc.boolean(),
  })
  .map(({ parts, ends }) => {
    let time = 0;
    const all = parts.map(({ step, kind, bytes }) => {
      time += step;
      return { time, kind: kind as Kind, bytes };
    });
    return ends ? [...all, { time, kind: Kind.exit, bytes: new Uint8Array(3) }] : all;
  });

function encode(all: readonly Event[]): Buffer {
  return Buffer.concat(all.map(encodeEvent));
}

/** What a decoder finds in pieces, each of which is overwritten afterwards as a reused buffer is. */
function decode(pieces: readonly Uint8Array[], decoder = new EventDecoder()): Event[] {
  const found: Event[] = [];
  for (const piece of pieces) {
    const buffer = Uint8Array.from(piece);
    for (const { time, kind, bytes } of decoder.push(buffer)) {
      found.push({ time, kind, bytes: Uint8Array.from(bytes) });
    }
    buffer.fill(0xaa);
  }
  return found;
}

function cut(stream: Buffer, ...places: number[]): Buffer[] {
  const all = [0, ...places.toSorted((a, b) => a - b), stream.length];
  return all.slice(1).map((to, i) => stream.subarray(all[i], to));
}

/** Fails for anything thrown but an EventError. */
function survives(pieces: readonly Uint8Array[]): Event[] | EventError {
  try {
    return decode(pieces);
  } catch (error) {
    if (error instanceof EventError) return error;
    throw error;
  }
}

t.test('round trip, whole and cut anywhere', async t => {
  fc.assert(
    fc.property(events, fc.array(fc.nat(2_000), { maxLength: 6 }), (all, places) => {
      const stream = encode(all);
      const decoder = new EventDecoder();
      const within = places.map(place => Math.min(place, stream.length));
      t.strictSame(
        decode(cut(stream, ...within), decoder),
        all.map(event => ({ ...event, bytes: Uint8Array.from(event.bytes) })),
      );
      return decoder.committed === stream.length && decoder.pending === 0;
    }),
    { seed: SEED, numRuns: 300 },
  );
});

const SAMPLE: readonly Event[] = [
  { time: 0, kind: Kind.output, bytes: Buffer.from('caf\xc3\xa9\r\n', 'latin1') },
  { time: 0, kind: Kind.input, bytes: new Uint8Array(0) },
  { time: 2 ** 32 + 5, kind: Kind.resize, bytes: encodeResize(50, 132) },
  { time: 2 ** 32 + 5, kind: Kind.marker, bytes: Buffer.from('{"type":"note"}') },
  { time: Number.MAX_SAFE_INTEGER, kind: Kind.stderr, bytes: new Uint8Array(300).fill(7) },
  { time: Number.MAX_SAFE_INTEGER, kind: Kind.exit, bytes: Buffer.from('{}') },
];
const stream = encode(SAMPLE);
const plain = SAMPLE.map(event => ({ ...event, bytes: Uint8Array.from(event.bytes) }));

t.test('the encoding, byte for byte', async t => {
  t.equal(
    encodeEvent({ time: 0x1_0000_0203, kind: Kind.stderr, bytes: Buffer.from('ab') }).toString('hex'),
    '03000002000000010000020361' + '62',
  );
  t.equal(encodeResize(50, 132).toString('hex'), '00320084');
  t.same(decodeResize(Buffer.from('00320084', 'hex')), { rows: 50, columns: 132 });
});

t.test('byte by byte', async t => {
  t.strictSame(decode([...stream].map(byte => Uint8Array.of(byte))), plain);
});

t.test('cut at every place: whole events are committed, the rest waits', async t => {
  const ends = new Set([0]);
  let at = 0;
  for (const event of SAMPLE) {
    at += EVENT_HEADER + event.bytes.length;
    ends.add(at);
  }
  for (let place = 0; place <= stream.length; place++) {
    const decoder = new EventDecoder();
    decode([stream.subarray(0, place)], decoder);
    const whole = Math.max(...[...ends].filter(end => end <= place));
    if (decoder.committed !== whole || decoder.pending !== place - whole) t.fail(`cut at ${place}`);
    decode([stream.subarray(place)], decoder);
    if (decoder.committed !== stream.length || !decoder.ended) t.fail(`goes on at ${place}`);
  }
  t.pass(`${stream.length} places`);
});

t.test('going on in the middle of a stream', async t => {
  const decoder = new EventDecoder(2 ** 32);
  t.equal(decoder.time, 2 ** 32);
  t.throws(
    () => decode([encodeEvent({ time: 5, kind: Kind.output, bytes: Buffer.from('x') })], decoder),
    EventError,
  );
});

t.test('the largest payload, and one more', async t => {
  const largest = encodeEvent({ time: 1, kind: Kind.output, bytes: new Uint8Array(MAX_EVENT_PAYLOAD) });
  t.equal(decode(cut(largest, 5, 70))[0]?.bytes.length, MAX_EVENT_PAYLOAD);
  const beyond = Buffer.from(largest);
  beyond.writeUIntBE(MAX_EVENT_PAYLOAD + 1, 1, 3);
  t.match(survives([beyond]), { name: 'EventError', code: 'EVENT_INVALID', offset: 0 });
  t.match(
    survives([beyond.subarray(0, 5), beyond.subarray(5, 13)]),
    EventError,
    'as soon as the header is there',
  );
});

t.test('what the format forbids', async t => {
  const event = (time: number, kind: number) =>
    encodeEvent({ time, kind: kind as Kind, bytes: Buffer.from('x') });
  const offset = EVENT_HEADER + 1;
  for (const kind of [0, 7, 255])
    t.match(survives([event(0, 1), event(0, kind)]), { offset }, `kind ${kind}`);
  t.match(survives([event(9, 1), event(8, 1)]), { offset, message: /time 8 after 9/ });
  t.match(survives([event(0, Kind.exit), event(0, 1)]), { offset }, 'after exit');
  t.match(survives([event(0, Kind.exit), Buffer.of(0)]), { offset }, 'one byte after exit');
  const far = event(0, 1);
  far.writeUInt32BE(0x0020_0000, 4);
  t.match(survives([far]), EventError, 'a time beyond 2^53');
  for (const length of [0, 3, 5]) t.throws(() => decodeResize(new Uint8Array(length)), EventError);
});

t.test('our own mistakes are no EventError', async t => {
  const into = Buffer.alloc(64);
  for (const length of [-1, MAX_EVENT_PAYLOAD + 1, NaN]) {
    t.throws(() => writeEventHeader(into, 0, Kind.output, 0, length), RangeError);
  }
  for (const time of [-1, 2 ** 53, NaN]) {
    t.throws(() => writeEventHeader(into, 0, Kind.output, time, 0), RangeError);
  }
});

t.test('flipped bits: events or an EventError, whatever the pieces', async t => {
  const random = generator(SEED);
  for (let bit = 0; bit < stream.length * 8; bit++) {
    const flipped = Buffer.from(stream);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    const whole = survives([flipped]);
    const pieces = survives(cut(flipped, random(stream.length), random(stream.length)));
    t.equal(pieces instanceof EventError, whole instanceof EventError, `bit ${bit}`);
    if (!(whole instanceof EventError)) t.strictSame(pieces, whole);
  }
});

t.test('noise', async t => {
  const random = generator(SEED);
  for (let round = 0; round < 3_000; round++) {
    const noise = Buffer.from(stream);
    for (let i = random(12); i >= 0; i--) noise[random(noise.length)] = random(256);
    survives(cut(noise.subarray(random(40), noise.length - random(40)), 60, 61));
    survives([Buffer.from(Array.from({ length: random(64) }, () => random(256)))]);
  }
  t.pass('3000 rounds');
});

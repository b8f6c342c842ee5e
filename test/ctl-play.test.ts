import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { keysIn } from '../src/ctl/play/keys.ts';
import { Pace } from '../src/ctl/play/pace.ts';
import { ScreenFilter } from '../src/ctl/play/screen_filter.ts';
import { parseTimingLine } from '../src/ctl/play/timing.ts';

function filtered(text: string | Uint8Array, newline: '\n' | '\r\n' = '\n'): string {
  const filter = new ScreenFilter(newline);
  return filter.pass(Buffer.from(text as string)) + filter.end();
}

t.test('what a session does to its screen passes', async t => {
  for (const text of [
    'plain text, \t tab, caf\u00e9, \u65e5\u672c, \ud83d\ude00\r\n\b\u0007\u000e\u000f',
    '\u001b[1;31mred\u001b[0m\u001b[38;2;1;2;3m\u001b[4:3m\u001b[m',
    '\u001b[2J\u001b[H\u001b[10;20H\u001b[K\u001b[1A\u001b[5L\u001b[3@\u001b[1;24r\u001b[?1049h\u001b[?25l',
    '\u001b7\u001b8\u001bM\u001b(0\u001b)B\u001b=\u001b>\u001b#8\u001bc\u001b[!p\u001b[2 q\u001b[?7h\u001b[4h\u001b[s\u001b[u',
  ]) {
    t.equal(filtered(text), text);
  }
  t.equal(filtered('a\nb\r\nc', '\r\n'), 'a\r\nb\r\nc', 'a command wrote bare line feeds');
});

t.test('what reaches beyond it does not', async t => {
  const attacks: Readonly<Record<string, string>> = {
    'clipboard (OSC 52)': '\u001b]52;c;aGk=\u0007',
    title: '\u001b]0;evil\u001b\\',
    'colours, with a question': '\u001b]11;?\u001b\\',
    'link (OSC 8)': '\u001b]8;;http://evil/\u001b\\',
    'notification (OSC 9, 777)': '\u001b]9;hi\u0007\u001b]777;notify;a;b\u0007',
    'who are you (DA, DECID)': '\u001b[c\u001b[0c\u001b[>c\u001b[=c\u001bZ',
    'where is the cursor (DSR)': '\u001b[6n\u001b[5n\u001b[?6n',
    'settings (DECRQSS, DECRQM, XTVERSION)': '\u001bP$q"p\u001b\\\u001b[?1$p\u001b[>0q',
    'report of the title, size, icon (XTWINOPS)': '\u001b[21t\u001b[18t\u001b[8;1;1t\u001b[3;0;0t',
    'printing (MC)': '\u001b[5i\u001b[4i\u001b[?5i',
    'graphics that open files (kitty)': '\u001b_Gt=f,a=T;L2V0Yy9wYXNzd2Q=\u001b\\',
    sixel: '\u001bPq#0;2;0;0;0\u001b\\',
    'mouse, focus, paste': '\u001b[?1000h\u001b[?1003h\u001b[?1006h\u001b[?1004h\u001b[?2004h',
    'mouse among others': '\u001b[?25;1000h',
    'keyboard: lock, modes, LEDs': '\u001b[2h\u001b[>4;2m\u001b[>1u\u001b[=5u\u001b[?u\u001b[1q',
    'columns (DECCOLM)': '\u001b[?3h',
    'answerback (ENQ), flow control': '\u0005\u0011\u0013',
    '8 bit controls and another encoding': '\u001b G\u001b%@',
    'C1 in UTF-8': '\u009b\u009d\u0090\u009c\u0085',
    'checksum of the screen (DECRQCRA)': '\u001b[1;1;1;1;1;1*y',
    'privacy message, start of string': '\u001b^x\u001b\\\u001bXx\u001b\\',
  };
  for (const [what, attack] of Object.entries(attacks)) {
    t.equal(filtered(`a${attack}b`), 'ab', what);
  }
  t.equal(filtered(Buffer.from([0x61, 0x9b, 0x63, 0x9d, 0x62])), 'a\ufffdc\ufffdb', 'C1 as bytes');
  t.equal(filtered('\u001b]0;a\u001b[31mred'), '\u001b[31mred', 'a sequence cuts a string short');
  t.equal(filtered('\u001bkname\u001b\\a'), 'a', "screen's and tmux's name of a window");
  t.equal(filtered('\u001bkhidden from auditors?'), 'khidden from auditors?', 'elsewhere it hides nothing');
  t.equal(filtered('\u001b[12\u001b[31mred'), '\u001b[31mred');
  t.match(
    filtered(`\u001b[${'1;'.repeat(5000)}mtext`),
    /^[1;]+mtext$/,
    'longer than any that means something',
  );
});

t.test('in any pieces, the same; of any bytes, nothing else', async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '\u001b',
      '\u001b[',
      '\u001b]',
      '\u001bP',
      '\u001b\\',
      '\u0007',
      '?',
      ';',
      '1',
      '$',
      ' ',
      'k',
    ),
    fc.constantFrom('h', 'm', 'c', 'n', 'q', 'p', 't', '\n', '\u009b', '\u00e9', '\u0018', '52'),
    fc.string({ unit: 'binary', maxLength: 4 }),
  );
  const bytes = fc.oneof(
    fc.array(piece, { maxLength: 40 }).map(pieces => Buffer.from(pieces.join(''))),
    fc.uint8Array({ maxLength: 60 }).map(array => Buffer.from(array)),
  );
  const known =
    /\u001b(?:[78=>DEHMNOcno|}~]|[()*+\-./][0-~]|#[34568]|\[[0-9:;]*[@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu]|\[\?[0-9;]*[JKhlsr]|\[\d* [q@A]|\[!p|\[\d*"q)/g;
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(60)), (all, cuts) => {
      const whole = filtered(all);
      const filter = new ScreenFilter('\n');
      let inPieces = '';
      let at = 0;
      for (const cut of [...cuts.map(cut => Math.min(cut, all.length)).sort((a, b) => a - b), all.length]) {
        inPieces += filter.pass(all.subarray(at, cut));
        at = cut;
      }
      assert.equal(inPieces + filter.end(), whole);
      const rest = whole.replace(known, '');
      assert.doesNotMatch(rest, /[\u0000-\u0006\u0010-\u001f\u007f-\u009f]/);
    }),
    { seed: 4, numRuns: 5000 },
  );
});

t.test('keys', async t => {
  t.same(keysIn(' +=-_sSqQ'), [
    'pause',
    'faster',
    'faster',
    'slower',
    'slower',
    'skip',
    'skip',
    'quit',
    'quit',
  ]);
  t.same(keysIn('\u001b[C\u001bOC\u0003\u0004'), ['skip', 'skip', 'quit', 'quit']);
  t.same(
    keysIn('\u001b[<0;1;1M\u001b[24;80R\u001b[?1;2c\u001b[A\u001b\u001bx\u001b]11;rgb:q\u001b\\xyz'),
    [],
  );
  t.same(keysIn('\u001b]52;c;qqqq\u0007q'), ['quit'], 'an answer of the terminal is no key');
});

t.test('timing', async t => {
  t.same(parseTimingLine('O 0.100000 2'), { type: 'output', delay: 0.1, size: 2 });
  t.same(parseTimingLine('I 12.000001 65536'), { type: 'input', delay: 12.000001, size: 65_536 });
  t.same(parseTimingLine('S 0.3 SIGWINCH ROWS=40 COLS=120'), {
    type: 'resize',
    delay: 0.3,
    rows: 40,
    columns: 120,
  });
  t.same(parseTimingLine('H 0.000000 COMMIT 194'), { type: 'note', delay: 0, name: 'COMMIT', value: '194' });
  t.same(parseTimingLine('H 2.000000 MARKER {"type": "x"}'), {
    type: 'note',
    delay: 2,
    name: 'MARKER',
    value: '{"type": "x"}',
  });
  t.same(
    parseTimingLine('0.5 10'),
    { type: 'output', delay: 0.5, size: 10 },
    'the form of before util-linux 2.35',
  );
  for (const line of [
    '',
    'O',
    'O 1',
    'O -1.0 2',
    'O 1.0 -2',
    'O NaN 2',
    'O 1e9 2',
    'O 1.0 2 3',
    'S',
    '\u0000',
  ]) {
    t.equal(parseTimingLine(line), null, JSON.stringify(line));
  }
});

t.test('pace', async t => {
  const elapsed = async (pace: Pace, ...waits: number[]): Promise<number> => {
    const start = performance.now();
    for (const seconds of waits) await pace.wait(seconds);
    return performance.now() - start;
  };
  t.ok((await elapsed(new Pace(1, 10), 0.1, 0.1)) >= 195);
  t.ok((await elapsed(new Pace(2, 10), 0.2)) >= 95);
  t.ok((await elapsed(new Pace(1, 10), ...Array(500).fill(0.0004))) >= 190, 'short waits add up');
  t.equal(new Pace(Number.POSITIVE_INFINITY, 10).wait(1000), undefined);
  t.ok((await elapsed(new Pace(1, 0.1), 3600)) >= 95, 'no wait is longer than --max-wait');

  const paused = new Pace(1, 10);
  paused.togglePause();
  let passed = false;
  const wait = Promise.resolve(paused.wait(0)).then(() => {
    passed = true;
  });
  await new Promise(resolve => setTimeout(resolve, 50));
  t.notOk(passed, 'a pause holds what has nothing to wait for');
  paused.togglePause();
  await wait;

  const skipping = new Pace(1, 1e9);
  const long = skipping.wait(1e6);
  skipping.skip();
  await long;
  t.equal(skipping.wait(0.9), undefined, 'runs on to the next pause');
  const next = skipping.wait(1e6);
  t.ok(next, 'and stops there');
  skipping.stop();
  await next;
  t.equal(skipping.wait(1e6), undefined, 'nothing waits after the end');
});

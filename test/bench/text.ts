/** The text that the bulk measurement shows: what terminals show, mixed, and the same at every run. */

/** Pieces of lines. Words of several scripts, so that output is cut inside characters; colours; progress bars. */
const WORDS =
  'the log of session opened for user root by uid 0 error warning Straße Größe naïve σχολείο привет 日本語 한국어 العربية 🙂 ├── └── ▓▓░░ /usr/lib/x86_64-linux-gnu 0x7ffe1234 192.0.2.7'.split(
    ' ',
  );
const COLOURS = ['\x1b[0m', '\x1b[1;31m', '\x1b[32m', '\x1b[38;5;208m', '\x1b[48;2;10;20;30m', '\x1b[7m'];

/** xorshift32: the same text from the same seed everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function line(random: (below: number) => number): string {
  const shape = random(20);
  if (shape === 0) return '\n';
  if (shape === 1) return `\r\x1b[K${'#'.repeat(random(60))} ${random(101)} %`;
  const words = shape === 2 ? 40 + random(200) : 1 + random(18);
  let text = '';
  for (let i = 0; i < words; i++) {
    if (random(6) === 0) text += COLOURS[random(COLOURS.length)];
    text += `${WORDS[random(WORDS.length)]} `;
  }
  return `${text}\x1b[0m\n`;
}

/** @returns exactly `size` bytes of UTF-8 text, ending with a line feed */
export function mixedText(size: number): Buffer {
  const out = Buffer.alloc(size, '\n');
  const random = generator(0x7779);
  let at = 0;
  for (;;) {
    const next = Buffer.from(line(random));
    if (at + next.length > size) return out;
    at += next.copy(out, at);
  }
}

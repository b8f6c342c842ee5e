/** What the keys of a playback mean. Pure. */

export type Key = 'pause' | 'faster' | 'slower' | 'skip' | 'quit';

const KEYS: Readonly<Record<string, Key>> = {
  ' ': 'pause',
  '+': 'faster',
  '=': 'faster',
  '-': 'slower',
  _: 'slower',
  s: 'skip',
  S: 'skip',
  '\u001b[C': 'skip',
  '\u001bOC': 'skip',
  q: 'quit',
  Q: 'quit',
  // The terminal is raw: Ctrl-C and Ctrl-D are bytes like others.
  '\u0003': 'quit',
  '\u0004': 'quit',
};

/** One key, or one sequence that a special key or the terminal itself sends. */
const PRESSED =
  /\u001b\[[0-9:;<=>?]*[ -/]*[@-~]|\u001bO.|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b.?|./gsu;

/** Keys in what was read from the terminal; what means nothing is left out. */
export function keysIn(text: string): Key[] {
  return (text.match(PRESSED) ?? []).flatMap(pressed => {
    const key = Object.hasOwn(KEYS, pressed) ? KEYS[pressed] : undefined;
    return key === undefined ? [] : [key];
  });
}

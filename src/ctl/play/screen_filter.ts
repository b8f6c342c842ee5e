/**
 * Lets pass what a recorded session did to its screen, and nothing that reaches beyond the screen of the person who
 * watches. The person recorded may be hostile to the one who watches, and terminals obey what they are shown: they
 * answer questions (and the answer is typed into the watcher's shell), set the clipboard, resize and name windows,
 * print, open files, notify. So only what is known to be harmless passes; no string (OSC, DCS, APC and the like) does.
 * Control functions are those of ECMA-48 and xterm's ctlseqs. Pure.
 */

/** Controls that pass: BEL, BS, HT, LF, VT, FF, CR, SO, SI. */
const OTHER_CONTROLS = /[\u0000-\u0006\u0010-\u001a\u001c-\u001f\u007f-\u009f]/g;

/** CSI, its parameters and intermediates, its final byte. A longer one is none that a terminal knows. */
const SEQUENCE = /\u001b\[([ -?]{0,256})([@-~]?)/y;

/** Other escape sequences: intermediates, final byte. */
const ESCAPE = /\u001b([ -/]{0,16})([0-~]?)/y;

/** How screen and tmux name a window; elsewhere ESC k means nothing, and the rest is text. */
const WINDOW_NAME = /\u001bk[^\u001b\r\n]{0,256}(\u001b\\)/y;
const WINDOW_NAME_BEGUN = /\u001b(?:k[^\u001b\r\n]{0,256}\u001b?)?$/y;

/** DCS, SOS, OSC, PM, APC: all to their end. */
const STRING_STARTS = 'PX]^_';
const STRING_END = /[\u0007\u0018\u001a\u009c]|\u001b\\?/g;

/** Save and restore the cursor, keypad, line feeds, tabs, shifts, reset. */
const ESCAPES = '78=>DEHMNOcno|}~';

/** Movement, erasing, inserting, deleting, scrolling, tabs, rendition, margins. */
const SEQUENCES = '@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu';

/** With a question mark: selective erase, modes. */
const PRIVATE_MODES: ReadonlySet<string> = new Set(
  // Not among them: 3, which resizes; mouse, focus and paste, which make the terminal send.
  ['1', '5', '6', '7', '12', '25', '45', '47', '69', '1047', '1048', '1049', '2026'],
);

export class ScreenFilter {
  readonly #decoder = new TextDecoder();
  readonly #newline: string;
  #held = '';
  #inString = false;

  /** @param newline what a line feed becomes: CR LF for a recording that was not made on a terminal */
  constructor(newline: '\n' | '\r\n') {
    this.#newline = newline;
  }

  /** What of `bytes` passes. A sequence or character that is not complete is kept for the next call. */
  pass(bytes: Uint8Array): string {
    const text = this.#held + this.#decoder.decode(bytes, { stream: true });
    this.#held = '';
    let out = '';
    let at = 0;
    while (at < text.length) {
      if (this.#inString) {
        at = this.#stringEnd(text, at);
        continue;
      }
      const start = text.indexOf('\u001b', at);
      out += this.#plain(text.slice(at, start < 0 ? undefined : start));
      if (start < 0) break;
      const { passes, end } = this.#sequence(text, start);
      out += passes;
      at = end;
    }
    return out;
  }

  /** What was kept at the end of the recording, as text, so that nothing is hidden in what never ended. */
  end(): string {
    const text = this.#held + this.#decoder.decode();
    this.#held = '';
    return this.#plain(text.replaceAll('\u001b', ''));
  }

  #plain(text: string): string {
    const plain = text.replace(OTHER_CONTROLS, '');
    return this.#newline === '\n' ? plain : plain.replace(/\r?\n/g, this.#newline);
  }

  /** Where the string ends that `at` is in, or the text; a lone ESC at the end waits for what follows. */
  #stringEnd(text: string, at: number): number {
    STRING_END.lastIndex = at;
    const end = STRING_END.exec(text);
    if (!end) return text.length;
    if (end[0] === '\u001b' && end.index === text.length - 1) return this.#hold(text, end.index);
    this.#inString = false;
    // Another sequence cuts a string short.
    return end[0] === '\u001b' ? end.index : STRING_END.lastIndex;
  }

  #sequence(text: string, at: number): { passes: string; end: number } {
    const name = matchAt(WINDOW_NAME, text, at);
    if (name) return { passes: '', end: at + name[0].length };
    if (matchAt(WINDOW_NAME_BEGUN, text, at)) return { passes: '', end: this.#hold(text, at) };

    const csi = matchAt(SEQUENCE, text, at);
    const [whole, before = '', final = ''] = csi ?? matchAt(ESCAPE, text, at) ?? ['\u001b'];
    const end = at + whole.length;
    if (final === '' && end === text.length) return { passes: '', end: this.#hold(text, at) };
    if (final === '') return { passes: '', end };
    if (!csi && before === '' && STRING_STARTS.includes(final)) {
      this.#inString = true;
      return { passes: '', end };
    }
    const harmless = csi ? isHarmlessSequence(before, final) : isHarmlessEscape(before, final);
    return { passes: harmless ? whole : '', end };
  }

  #hold(text: string, at: number): number {
    this.#held = text.slice(at);
    return text.length;
  }
}

function isHarmlessEscape(intermediates: string, final: string): boolean {
  if (intermediates === '') return ESCAPES.includes(final);
  // Character sets, and lines of double size. ESC % would leave UTF-8, ESC SP change how controls are written.
  return /^[()*+\-./]$/.test(intermediates) || (intermediates === '#' && '34568'.includes(final));
}

function isHarmlessSequence(parameters: string, final: string): boolean {
  if (/^[0-9:;]*$/.test(parameters)) {
    // Mode 2 locks the keyboard.
    const locks = (final === 'h' || final === 'l') && parameters.split(';').includes('2');
    return SEQUENCES.includes(final) && !locks;
  }
  if (/^\?[0-9;]*$/.test(parameters)) {
    if (final === 'J' || final === 'K') return true;
    return (
      'hlsr'.includes(final) &&
      parameters
        .slice(1)
        .split(';')
        .every(mode => PRIVATE_MODES.has(mode))
    );
  }
  // Shape of the cursor, scrolling sideways; soft reset; protection from selective erase.
  return /^\d* $/.test(parameters)
    ? 'q@A'.includes(final)
    : parameters === '!'
      ? final === 'p'
      : /^\d*"$/.test(parameters) && final === 'q';
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

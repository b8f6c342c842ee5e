/** Where a recording is shown: a terminal that a person watches, or a file or pipe that gets the bytes. */
import { RawTerminal } from '../../os/raw_terminal.ts';
import { printable } from '../failure.ts';
import { type Key, keysIn } from './keys.ts';
import { ScreenFilter } from './screen_filter.ts';

export interface Screen {
  show(bytes: Uint8Array): Promise<void>;
  /** Tells the state of the playback, where there is a place for it. */
  tell(state: string): void;
  /** Leaves it as it was found. */
  close(): void;
}

/** The bytes as they were recorded. */
export class PlainScreen implements Screen {
  show(bytes: Uint8Array): Promise<void> {
    return write(bytes);
  }

  tell(): void {}

  close(): void {}
}

/**
 * Ends what a recording may have left on: a sequence that is not complete, rendition, character sets, margins, modes,
 * the alternate screen, a hidden cursor. Some of these move the cursor, so it goes to a new line at the bottom.
 */
const RESET =
  '\u0018\u001b\\\u001b[?2026l\u001b[?1049l\u001b[!p\u001b[0m\u001b(B\u000f\u001b[r\u001b[?5l\u001b[?6l\u001b[?7h' +
  '\u001b[?1l\u001b>\u001b[4l\u001b[20l\u001b[?69l\u001b[0 q\u001b[?25h\u001b[999;1H\r\n';

/** Puts the window's name on a stack and takes it back (xterm, and those who follow it). */
const KEEP_TITLE = '\u001b[22;2t';
const RETURN_TITLE = '\u001b[23;2t';

export class TerminalScreen implements Screen {
  readonly #filter: ScreenFilter | null;
  readonly #raw: RawTerminal | null;
  #closed = false;

  /**
   * @param options.raw passes everything, as recorded
   * @param options.newline what a line feed becomes
   * @param pressed told of each key; keys are read only where standard input is a terminal
   */
  constructor(options: { raw: boolean; newline: '\n' | '\r\n' }, pressed: (key: Key) => void) {
    this.#filter = options.raw ? null : new ScreenFilter(options.newline);
    this.#raw = process.stdin.isTTY ? new RawTerminal(process.stdin.fd) : null;
    if (this.#raw) {
      process.stdin.on('data', (data: Buffer) => keysIn(data.toString('latin1')).forEach(pressed));
      process.stdin.on('error', () => pressed('quit'));
      process.stdin.on('end', () => pressed('quit'));
    }
    process.stdout.write(KEEP_TITLE);
  }

  show(bytes: Uint8Array): Promise<void> {
    return write(this.#filter ? this.#filter.pass(bytes) : bytes);
  }

  tell(state: string): void {
    process.stdout.write(`\u001b]2;${printable(state)}\u0007`);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.stdout.write(`${this.#filter?.end() ?? ''}${RESET}${RETURN_TITLE}`);
    this.#raw?.restore();
    process.stdin.destroy();
  }
}

function write(data: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, error => (error ? reject(error) : resolve()));
  });
}

/** ttyspyctl play: shows a session as it was, in its own time. */
import { constants } from 'node:os';
import { clock, ending } from '../archive/list.ts';
import type { Recording } from '../archive/recording.ts';
import { defaultStore, findRecording } from '../archive/store.ts';
import { numberOption, parseCommandLine } from '../command_line.ts';
import { printable, usageFailure } from '../failure.ts';
import { frames } from './frames.ts';
import type { Key } from './keys.ts';
import { Pace, SPEED_LIMITS } from './pace.ts';
import { PlainScreen, type Screen, TerminalScreen } from './screen.ts';

const OPTIONS = {
  store: { type: 'string' },
  speed: { type: 'string' },
  'max-wait': { type: 'string' },
  'no-wait': { type: 'boolean', default: false },
  raw: { type: 'boolean', default: false },
} as const;

export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseCommandLine(args, OPTIONS);
  const [which, surplus] = positionals;
  if (which === undefined) throw usageFailure('play needs a file or the id of a session');
  if (surplus !== undefined) throw usageFailure('play takes one session');
  const speed = speedOf(values.speed, values['no-wait']);
  const maxWait = values['max-wait'];
  const pace = new Pace(
    speed,
    maxWait === undefined
      ? Number.POSITIVE_INFINITY
      : numberOption('max-wait', maxWait, { least: 0, most: 1e9 }),
  );
  const recording = findRecording(() => values.store ?? defaultStore(), which);
  await new Playback(recording, pace, values.raw).run();
}

/** Recorded seconds in a second. A file or pipe gets the bytes at once, unless a speed is asked for. */
function speedOf(text: string | undefined, noWait: boolean): number {
  if (text === undefined) return noWait || !process.stdout.isTTY ? Number.POSITIVE_INFINITY : 1;
  const speed = numberOption('speed', text, { least: 0, most: SPEED_LIMITS.most });
  if (speed === 0 || noWait) return Number.POSITIVE_INFINITY;
  return Math.max(speed, SPEED_LIMITS.least);
}

class Playback {
  readonly #recording: Recording;
  readonly #pace: Pace;
  readonly #screen: Screen;
  readonly #notices: string[] = [];
  #size: string;
  #played = 0;

  constructor(recording: Recording, pace: Pace, raw: boolean) {
    this.#recording = recording;
    this.#pace = pace;
    const { rows, columns } = recording;
    this.#size = rows === null || columns === null ? '' : `${columns}x${rows}`;
    this.#tellSize();
    const newline = recording.mode === 'command' ? '\r\n' : '\n';
    this.#screen = process.stdout.isTTY
      ? new TerminalScreen({ raw, newline }, key => this.#press(key))
      : new PlainScreen();
  }

  async run(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        this.#screen.close();
        process.exit(128 + constants.signals[signal]);
      });
    }
    try {
      this.#tell();
      await this.#play();
    } finally {
      this.#screen.close();
    }
    for (const notice of this.#notices) say(notice);
    say(this.#summary());
  }

  async #play(): Promise<void> {
    for await (const frame of frames(this.#recording, notice => this.#notices.push(notice))) {
      // Keys are read between frames, also where there is nothing to wait for.
      await (this.#pace.wait(frame.delay) ?? breathe());
      if (this.#pace.stopped) return;
      this.#played += frame.delay;
      if (frame.bytes) await this.#screen.show(frame.bytes);
      if (frame.size) this.#resized(frame.size);
    }
  }

  #press(key: Key): void {
    if (key === 'pause') this.#pace.togglePause();
    else if (key === 'faster') this.#pace.faster();
    else if (key === 'slower') this.#pace.slower();
    else if (key === 'skip') this.#pace.skip();
    else this.#pace.stop();
    this.#tell();
  }

  #tell(): void {
    const { username, hostname } = this.#recording;
    const { speed, paused } = this.#pace;
    const pace = paused ? 'paused' : Number.isFinite(speed) ? `speed ${speed}` : 'no waits';
    this.#screen.tell(`${username}@${hostname} ${this.#size} ${clock(this.#played)} ${pace}`);
  }

  /** A terminal that is too small shows another picture than the one recorded. */
  #tellSize(): void {
    const { rows, columns } = this.#recording;
    const { stdout } = process;
    if (!stdout.isTTY || rows === null || columns === null) return;
    if (rows <= stdout.rows && columns <= stdout.columns) return;
    say(
      `recorded at ${columns}x${rows} (columns x rows), this terminal is ${stdout.columns}x${stdout.rows}: enlarge it`,
    );
  }

  #resized(size: { rows: number; columns: number }): void {
    this.#size = `${size.columns}x${size.rows}`;
    if (process.stdout.isTTY) this.#tell();
    else say(`${clock(this.#played)} window is now ${this.#size} (columns x rows)`);
  }

  #summary(): string {
    const { id } = this.#recording;
    if (this.#pace.stopped) return `stopped at ${clock(this.#played)}`;
    const end = ending(this.#recording);
    return end === 'open'
      ? `session ${id} goes on, or was interrupted; this is what there is`
      : `session ${id}: ${end}`;
  }
}

let breaths = 0;

/** Lets the event loop see keys and signals, now and then. */
function breathe(): Promise<void> | undefined {
  breaths++;
  return breaths % 64 === 0 ? new Promise(resolve => setImmediate(resolve)) : undefined;
}

function say(text: string): void {
  process.stderr.write(`ttyspyctl: ${printable(text)}\n`);
}

/** The pace of a playback: waits as the recording waited, faster or slower, with a pause. */

/** Waits shorter than this are let run together: a timer is no more exact than a millisecond or two. */
const SHORTEST_MS = 4;

/** Recorded silence from which on it is a pause that a skip stops at, milliseconds. */
const PAUSE_MS = 1000;

/** A machine that was suspended, or a slow terminal, is not made up for beyond this, milliseconds. */
const MOST_LATE_MS = 200;

export const SPEED_LIMITS = { least: 1 / 16, most: 64 } as const;

export class Pace {
  #speed: number;
  readonly #maxWaitMs: number;
  #paused = false;
  #skipping = false;
  #stopped = false;
  /** Recorded time that is still to pass, milliseconds; below 0 when playing is late. */
  #owed = 0;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  /**
   * @param speed recorded seconds in a second; Infinity never waits
   * @param maxWait no recorded silence is longer than this, seconds
   */
  constructor(speed: number, maxWait: number) {
    this.#speed = speed;
    this.#maxWaitMs = maxWait * 1000;
  }

  get speed(): number {
    return this.#speed;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Until `seconds` of the recording have passed; at once where there is nothing to wait for. */
  wait(seconds: number): Promise<void> | undefined {
    const silence = Math.min(seconds * 1000, this.#maxWaitMs);
    if (this.#skipping && seconds * 1000 >= PAUSE_MS) this.#skipping = false;
    this.#owed = this.#skipping ? 0 : this.#owed + silence;
    const nothing = this.#speed === Number.POSITIVE_INFINITY || this.#owed / this.#speed < SHORTEST_MS;
    if (this.#stopped || (nothing && !this.#paused)) return undefined;
    return new Promise(resolve => {
      this.#wake = resolve;
      this.#run();
    });
  }

  togglePause(): void {
    this.#settle();
    this.#paused = !this.#paused;
    this.#run();
  }

  faster(): void {
    this.#setSpeed(this.#speed * 2);
  }

  slower(): void {
    this.#setSpeed(this.#speed / 2);
  }

  /** On to the next pause of the recording, which is the present one's end when it is in one. */
  skip(): void {
    this.#settle();
    this.#paused = false;
    this.#skipping = true;
    this.#owed = 0;
    this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#finish();
  }

  #setSpeed(speed: number): void {
    this.#settle();
    this.#speed = Math.min(Math.max(speed, SPEED_LIMITS.least), SPEED_LIMITS.most);
    this.#run();
  }

  /** Takes off what has passed of a wait, and stops it. */
  #settle(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#owed -= (performance.now() - this.#since) * this.#speed;
  }

  #run(): void {
    if (this.#wake === undefined || this.#paused) return;
    if (this.#owed <= 0) {
      this.#finish();
      return;
    }
    this.#since = performance.now();
    this.#timer = setTimeout(() => {
      this.#settle();
      this.#run();
    }, this.#owed / this.#speed);
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#owed = Math.max(this.#owed, -MOST_LATE_MS * this.#speed);
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

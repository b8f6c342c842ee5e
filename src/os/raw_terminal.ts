/** The terminal of a person who watches: raw while keys are commands, and as it was afterwards. */
import { native } from './native.ts';

/**
 * Node's own setRawMode is not used: it leaves ONLCR on, which moves the cursor of recorded full-screen programs.
 */
export class RawTerminal {
  readonly #fd: number;
  readonly #before: Buffer;

  /** @throws a system error for what is no terminal (ENOTTY) */
  constructor(fd: number) {
    this.#fd = fd;
    this.#before = native.getTermios(fd);
    native.makeRaw(fd);
  }

  restore(): void {
    try {
      native.setTermios(this.#fd, this.#before);
    } catch {
      // The terminal is gone, and its settings with it.
    }
  }
}

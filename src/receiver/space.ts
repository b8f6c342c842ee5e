/** Room on the archive's disk. */
import { statfs } from 'node:fs';
import { promisify } from 'node:util';
import { Refusal } from './refusal.ts';

const statfsAsync = promisify(statfs);

/** How long an answer of the file system is good, milliseconds. */
const FRESH_MS = 1_000;

export class Space {
  readonly #path: string;
  readonly #least: number;
  #asked = Number.NEGATIVE_INFINITY;
  #free: Promise<number> = Promise.resolve(0);

  /** @param least bytes that must stay free */
  constructor(path: string, least: number) {
    this.#path = path;
    this.#least = least;
  }

  /** @throws Refusal when less than the least is free */
  async check(): Promise<void> {
    const now = performance.now();
    if (now - this.#asked >= FRESH_MS) {
      this.#asked = now;
      this.#free = statfsAsync(this.#path).then(({ bavail, bsize }) => bavail * bsize);
    }
    if ((await this.#free) < this.#least) {
      throw new Refusal('no-space', 'the archive has less room left than it keeps free, try again later');
    }
  }
}

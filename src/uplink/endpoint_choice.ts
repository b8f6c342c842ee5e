/** Which of the endpoints is used: the one that works, until it does not; then the next that may be asked. */
import type { Endpoint } from './endpoint.ts';

export class EndpointChoice {
  readonly all: readonly Endpoint[];
  #current = 0;

  /** @param all at least one, in the order of ttyspy.conf */
  constructor(all: readonly Endpoint[]) {
    this.all = all;
  }

  /** @returns null while none may be asked */
  usable(now: number): Endpoint | null {
    for (let i = 0; i < this.all.length; i++) {
      const index = (this.#current + i) % this.all.length;
      const endpoint = this.all[index];
      if (endpoint === undefined || endpoint.notBefore > now) continue;
      this.#current = index;
      return endpoint;
    }
    return null;
  }

  /** When the first of them may be asked again, milliseconds of Date.now(). */
  get next(): number {
    return Math.min(...this.all.map(endpoint => endpoint.notBefore));
  }
}

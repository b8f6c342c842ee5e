/** How many may be in: sessions and those who are just introducing themselves, in all and for each user. */
import type { RefusalCode } from '../session/hello.ts';

/** Connections that did not say hello yet, each user's. A login takes milliseconds; a few may come at once. */
const MAX_GREETINGS = 128;

export class Admission {
  readonly #maxSessions: number;
  readonly #maxPerUser: number;
  readonly #sessions = new Map<number, number>();
  readonly #greetings = new Map<number, number>();
  #total = 0;

  constructor(maxSessions: number, maxPerUser: number) {
    this.#maxSessions = maxSessions;
    this.#maxPerUser = maxPerUser;
  }

  /** Sessions now. */
  get sessions(): number {
    return this.#total;
  }

  /** @returns whether one more connection of this user may stay; then greeted must follow */
  greet(uid: number): boolean {
    const count = this.#greetings.get(uid) ?? 0;
    if (count >= MAX_GREETINGS) return false;
    this.#greetings.set(uid, count + 1);
    return true;
  }

  /** The end of a greeting, however it went. */
  greeted(uid: number): void {
    decrease(this.#greetings, uid);
  }

  /** @returns null when one more session may begin, then end must follow; or why not */
  begin(uid: number): { code: RefusalCode; message: string } | null {
    const count = this.#sessions.get(uid) ?? 0;
    if (count >= this.#maxPerUser) {
      return {
        code: 'user-limit',
        message: `you have ${count} sessions, the most there may be; end one first`,
      };
    }
    if (this.#total >= this.#maxSessions) {
      return {
        code: 'limit',
        message: `this host has ${this.#total} sessions, the most there may be; try again later`,
      };
    }
    this.#sessions.set(uid, count + 1);
    this.#total++;
    return null;
  }

  end(uid: number): void {
    decrease(this.#sessions, uid);
    this.#total--;
  }
}

function decrease(counts: Map<number, number>, uid: number): void {
  const count = (counts.get(uid) ?? 0) - 1;
  if (count > 0) counts.set(uid, count);
  else counts.delete(uid);
}

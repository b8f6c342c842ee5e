/** The sessions that the receiver remembers, the least recently used first. */
import type { SessionStart } from '../session/metadata.ts';
import type { ReceiverLimits } from './limits.ts';
import { readManifest } from './manifest.ts';
import { openSession, sameMetadata } from './open_session.ts';
import { Refusal } from './refusal.ts';
import { Session } from './session.ts';

export class Sessions {
  readonly #store: string;
  readonly #limits: ReceiverLimits;
  /** By id; more than one where hosts use the same. A Map keeps its order: who is used goes to the end. */
  readonly #byId = new Map<string, Session[]>();
  readonly #opening = new Map<string, Promise<unknown>>();
  #size = 0;

  constructor(store: string, limits: ReceiverLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  /** All sessions of this id: its client's certificate tells which is meant. */
  withId(id: string): readonly Session[] {
    return this.#byId.get(id) ?? [];
  }

  /**
   * The session that these metadata are of: remembered, found in the archive, or made.
   * @throws Refusal when the id is of another session of this host
   */
  async open(start: SessionStart, certificate: string): Promise<{ session: Session; created: boolean }> {
    const key = `${start.id} ${start.hostname}`;
    while (this.#opening.has(key)) await this.#opening.get(key);
    const known = this.withId(start.id).find(session => session.hostname === start.hostname);
    if (known) {
      const manifest = readManifest(`${known.files.path}.json`);
      if (manifest && !sameMetadata(manifest, start)) {
        throw new Refusal('other-metadata', 'the session is there with other metadata');
      }
      // Someone took the files away: begin again with what is there.
      if (!manifest && !known.busy) this.forget(known);
      else return { session: this.touch(known), created: false };
    }
    const opening = openSession(this.#store, start, certificate);
    this.#opening.set(
      key,
      opening.catch(() => {}),
    );
    try {
      const { files, created, sealed } = await opening;
      const session = new Session(start, files, sealed);
      this.#byId.set(start.id, [...this.withId(start.id), session]);
      this.#size++;
      return { session: this.touch(session), created };
    } finally {
      this.#opening.delete(key);
    }
  }

  /** Notes that a session is used now. */
  touch(session: Session): Session {
    const entry = this.#byId.get(session.id);
    if (entry) {
      this.#byId.delete(session.id);
      this.#byId.set(session.id, entry);
    }
    session.used = performance.now();
    return session;
  }

  /** Forgets a session; its client creates it again when it has more to say. */
  forget(session: Session): void {
    const left = this.withId(session.id).filter(other => other !== session);
    if (left.length === this.withId(session.id).length) return;
    if (left.length > 0) this.#byId.set(session.id, left);
    else this.#byId.delete(session.id);
    this.#size--;
    void session.exclusive(async () => session.files.close()).catch(() => {});
  }

  /** Closes descriptors of sessions that are idle or too many, and forgets those idle for long. */
  sweep(now = performance.now()): void {
    let open = 0;
    for (const session of this.#all()) if (session.files.isOpen) open++;
    for (const session of this.#all()) {
      if (session.busy) continue;
      const idle = now - session.used;
      const tooMany = open > this.#limits.openSessions;
      if (session.files.isOpen && (idle > this.#limits.descriptorIdleMs || tooMany)) {
        open--;
        void session.exclusive(async () => session.files.close()).catch(() => {});
      }
      if (idle > this.#limits.sessionIdleMs || session.broken) this.forget(session);
    }
  }

  /** Ends all appends and closes all files. */
  async close(reason: Error): Promise<void> {
    const all = [...this.#all()];
    for (const session of all) session.interrupt(reason);
    await Promise.allSettled(all.map(session => session.exclusive(async () => session.files.close())));
  }

  *#all(): Iterable<Session> {
    for (const entry of [...this.#byId.values()]) yield* entry;
  }
}

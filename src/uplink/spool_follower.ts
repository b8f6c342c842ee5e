/**
 * Follows the spool directory: which sessions are there, and which have grown.
 *
 * One inotify watch on the directory tells of keystrokes at once. Bulk output would wake the process thousands of times
 * a second, so a flood of changes closes the watch; from then on file sizes are asked for ten times a second, until a
 * new watch finds things calm.
 */
import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { basename } from 'node:path';
import type { Log } from '../os/log.ts';
import { parseSpoolName } from '../session/spool.ts';
import { look, SpooledSession } from './spooled_session.ts';

/** After the first change: what belongs together (an echo and what follows it) goes together. */
const SETTLE_MS = 15;
/** Least time between two looks, and more for each session that had grown: fewer and larger appends under load. */
const LOOK_MS = 100;
const LOOK_MS_EACH = 0.5;
const LOOK_MS_MOST = 300;
/** This many changes between two looks are a flood. */
const FLOOD = 64;
/** How long a flood is waited out before watching again. */
const FLOOD_MS = 1_000;
/** Sizes asked for in one look while not watching, beside those of sessions that grew lately. */
const LOOK_MOST = 512;
/** Everything is looked at this often even when nothing is told: inotify's queue may overflow. */
const SCAN_MS = 30_000;
/** While there is no directory. */
const MISSING_MS = 1_000;

export class SpoolFollower {
  readonly sessions = new Map<string, SpooledSession>();
  readonly #directory: string;
  readonly #changed: (session: SpooledSession) => void;
  readonly #log: Log;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | null = null;
  #due = 0;
  #looked = 0;
  #pause = LOOK_MS;
  #grown = 0;
  #scanned = 0;
  #watchAt = 0;
  #modified = 0;
  #inode = 0;
  #events = 0;
  #dirty = new Set<string>();
  #lately = new Set<SpooledSession>();
  #rotation: Iterator<SpooledSession> | null = null;
  #complaint = '';
  #closed = false;

  /** @param changed is told each session that appeared, grew, or became done */
  constructor(directory: string, changed: (session: SpooledSession) => void, log: Log) {
    this.#directory = directory;
    this.#changed = changed;
    this.#log = log;
  }

  /** Finds what is there and follows it from now on. A directory that is not there yet is waited for. */
  start(): void {
    this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    if (this.#timer) clearTimeout(this.#timer);
  }

  /** Looks at everything now. */
  scan(): void {
    let names: string[];
    try {
      const stat = statSync(this.#directory);
      if (stat.ino !== this.#inode) this.#unwatch(0);
      this.#modified = stat.mtimeMs;
      this.#inode = stat.ino;
      names = readdirSync(this.#directory);
    } catch (error) {
      this.#missing(error as Error);
      return;
    }
    if (this.#complaint !== '') this.#log.info({ spool: this.#directory }, 'the spool directory is there');
    this.#complaint = '';
    this.#scanned = Date.now();
    for (const name of names) this.#add(name);
    for (const session of this.sessions.values()) this.#visit(session);
  }

  /** Forgets a session: it is archived, and its file gone. */
  forget(session: SpooledSession): void {
    this.sessions.delete(session.id);
    this.#lately.delete(session);
  }

  #missing(error: Error): void {
    this.#unwatch(MISSING_MS);
    if (this.#complaint === error.message) return;
    this.#complaint = error.message;
    this.#log.warn({ problem: error.message }, 'the spool directory cannot be read: waiting for it');
  }

  #look(): void {
    const now = Date.now();
    this.#looked = now;
    this.#events = 0;
    this.#grown = 0;
    if (this.#watcher === null && now >= this.#watchAt) {
      // The watch first and the scan after it, so that nothing falls between them.
      this.#watch();
      this.scan();
    } else if (now >= this.#scanned + SCAN_MS) {
      this.scan();
    } else if (this.#dirty.size > 0) {
      for (const name of this.#dirty) this.#seen(name);
    } else if (this.#watcher === null) {
      this.#poll();
    }
    this.#dirty.clear();
    this.#pause = Math.min(LOOK_MS_MOST, LOOK_MS + LOOK_MS_EACH * this.#grown);
    if (this.#watcher) this.#arm(this.#scanned + SCAN_MS);
    else this.#arm(now + this.#pause);
  }

  /** Sizes of what grew lately, and of a part of the rest in turn. */
  #poll(): void {
    const modified = statSync(this.#directory, { throwIfNoEntry: false })?.mtimeMs;
    if (modified !== this.#modified) {
      this.scan();
      return;
    }
    for (const session of this.#lately) this.#visit(session);
    for (let left = Math.min(LOOK_MOST, this.sessions.size); left > 0; left--) {
      this.#rotation ??= this.sessions.values();
      const { value, done } = this.#rotation.next();
      if (done) this.#rotation = null;
      else if (!this.#lately.has(value)) this.#visit(value);
    }
  }

  #watch(): void {
    this.#lately.clear();
    try {
      this.#inode = statSync(this.#directory).ino;
      this.#watcher = watch(this.#directory, (_, name) => this.#event(name));
      this.#watcher.on('error', () => this.#unwatch(MISSING_MS));
    } catch (error) {
      // No directory, or no inotify watch left: asking works all the same.
      this.#watchAt = Date.now() + SCAN_MS;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn(
          { problem: (error as Error).message },
          'the spool directory cannot be watched: polling it',
        );
      }
    }
  }

  /** @param wait milliseconds until the next watch */
  #unwatch(wait: number): void {
    this.#watcher?.close();
    this.#watcher = null;
    this.#watchAt = Date.now() + wait;
  }

  #event(name: string | null): void {
    this.#events++;
    // The directory's own name is told when it is removed.
    if (name === null || name === basename(this.#directory)) this.#scanned = 0;
    else this.#dirty.add(name);
    if (this.#events > FLOOD) this.#unwatch(FLOOD_MS);
    if (this.#events === 1) this.#arm(Math.max(Date.now() + SETTLE_MS, this.#looked + this.#pause));
  }

  #arm(due: number): void {
    if (this.#closed) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, this.#due - Date.now()));
  }

  /** A name that the watch told. */
  #seen(name: string): void {
    const parsed = parseSpoolName(name);
    if (parsed === null) return;
    this.#add(name);
    const session = this.sessions.get(parsed.id);
    if (session) this.#visit(session);
  }

  #add(name: string): void {
    const parsed = parseSpoolName(name);
    if (parsed === null || this.sessions.has(parsed.id)) return;
    this.sessions.set(parsed.id, new SpooledSession(parsed.id, parsed.state));
  }

  #visit(session: SpooledSession): void {
    const changed = look(this.#directory, session);
    if (changed === null) {
      // The watch tells of the uplink's own removals too; those are forgotten already or never were more than a name.
      if (session.at !== null)
        this.#log.warn({ session: session.id }, 'a spool file is gone that was not archived');
      this.forget(session);
    } else if (changed) {
      this.#grown++;
      if (this.#watcher === null) this.#lately.add(session);
      this.#changed(session);
    }
  }
}

/** What lies in the receiver's store, and what still waits in the spool. */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from '../../../src/receiver/manifest.ts';
import { type Event, EventDecoder } from '../../../src/session/event.ts';
import type { SessionEnd, SessionStart } from '../../../src/session/metadata.ts';
import { parseSpoolName } from '../../../src/session/spool.ts';
import { until } from './run.ts';

/** A session that is complete in the archive. */
export interface Archived {
  readonly id: string;
  readonly file: string;
  readonly manifest: Manifest & { readonly end: SessionEnd };
  /** Everything that was shown: terminal output, or stdout and stderr. */
  readonly output: Buffer;
  /** A command's stdin, as far as recorded. */
  readonly input: Buffer;
  readonly timing: string;
}

export class Archive {
  readonly store: string;
  readonly spool: string;

  constructor(store: string, spool: string) {
    this.store = store;
    this.spool = spool;
  }

  /** Ids of all sessions, wherever they are. */
  ids(): Set<string> {
    const spooled = readdirSync(this.spool).map(name => parseSpoolName(name)?.id);
    const stored = this.#transcripts().map(file => file.slice(file.lastIndexOf('_') + 1));
    return new Set([...spooled, ...stored].filter(id => id !== undefined));
  }

  /** Waits until a session is complete in the archive. */
  async complete(id: string): Promise<Archived> {
    const manifest = await until(`session ${id} complete in the archive`, () => this.#manifest(id));
    return read(manifest.file, manifest.manifest);
  }

  /**
   * Waits for the sessions that began while `during` ran, which must be as many as told.
   * @throws Error when there are more or fewer
   */
  async recorded<T>(count: number, during: () => Promise<T>): Promise<{ result: T; sessions: Archived[] }> {
    const before = this.ids();
    const result = await during();
    const fresh = [...this.ids()].filter(id => !before.has(id));
    if (fresh.length !== count) throw new Error(`${fresh.length} sessions were recorded, not ${count}`);
    const sessions: Archived[] = [];
    for (const id of fresh) sessions.push(await this.complete(id));
    return {
      result,
      sessions: sessions.toSorted((a, b) => (a.manifest.started < b.manifest.started ? -1 : 1)),
    };
  }

  /** As recorded, of one session. */
  async one<T>(during: () => Promise<T>): Promise<{ result: T; session: Archived }> {
    const { result, sessions } = await this.recorded(1, during);
    return { result, session: sessions[0] as Archived };
  }

  /** Path of the file a session has in the spool; null when it has left. */
  spoolFile(id: string): string | null {
    const names = [`${id}.live`, `${id}.done`].map(name => join(this.spool, name));
    return names.find(name => existsSync(name)) ?? null;
  }

  /** Path of a session's transcript, complete or not; null when there is none yet. */
  transcript(id: string): string | null {
    return this.#transcripts().find(file => file.endsWith(`_${id}`)) ?? null;
  }

  #transcripts(): string[] {
    return globSync(`${this.store}/*/*/*/*/*/transcript_*Z_????????????????`);
  }

  #manifest(id: string): { file: string; manifest: Archived['manifest'] } | null {
    const file = this.transcript(id);
    if (file === null) return null;
    try {
      const manifest = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as Archived['manifest'];
      return manifest.files ? { file, manifest } : null;
    } catch {
      return null;
    }
  }
}

/** The metadata and events of a file in the spool, as far as they are whole. */
export function readSpool(file: string): { start: SessionStart; events: Event[] } {
  const bytes = readFileSync(file);
  const newline = bytes.indexOf(10);
  const events = [...new EventDecoder().push(bytes.subarray(newline + 1))];
  return { start: JSON.parse(bytes.toString('utf8', 0, newline)), events };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function read(file: string, manifest: Archived['manifest']): Archived {
  const transcript = readFileSync(file);
  const trailer = transcript.lastIndexOf('\n\nSession ended: ');
  const input = `${file}.input`;
  return {
    id: manifest.id,
    file,
    manifest,
    output: transcript.subarray(transcript.indexOf('\n\n\n') + 3, trailer),
    // Its first line is empty: scriptreplay skips one.
    input: existsSync(input) ? readFileSync(input).subarray(1) : Buffer.alloc(0),
    timing: readFileSync(`${file}.timing`, 'latin1'),
  };
}

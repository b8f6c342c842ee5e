/**
 * The files of one session: transcript, timing, input. Bytes are added at positions that this class keeps, and count
 * from the commit point on. Descriptors are opened when needed and may be closed at any time between two commits.
 */
import { closeSync, ftruncateSync, rmSync } from 'node:fs';
import type { Batch } from './batch.ts';
import type { CommitPoint } from './commit_point.ts';
import { sealOf } from './digest.ts';
import { createFile, openFile, settled, syncData, syncDirectory, syncPath, writeAll } from './file.ts';
import type { FileSeal } from './manifest.ts';
import { commitLine } from './timing.ts';

/** How much of the timing file's lines may wait for the commit, characters. */
const TIMING_WAITS = 262_144;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Descriptors {
  readonly transcript: number;
  readonly timing: number;
  input: number | null;
}

export class SessionFiles {
  /** Path of the transcript; the others' begin with it. */
  readonly path: string;
  readonly directory: string;
  #committed: CommitPoint;
  /** Where the files end, uncommitted bytes included. */
  #at: Mutable<CommitPoint>;
  /** Lines that follow at the end of the timing file. */
  #lines = '';
  #open: Descriptors | null;
  /** Names in the directory are not durable yet. */
  #fresh: boolean;
  /** The manifest is not durable yet. */
  #manifestFresh: boolean;
  #dirty = false;
  #inputDirty = false;

  constructor(directory: string, path: string, at: CommitPoint, open: Descriptors | null, fresh: boolean) {
    this.directory = directory;
    this.path = path;
    this.#committed = at;
    this.#at = { ...at };
    this.#open = open;
    this.#fresh = fresh;
    this.#manifestFresh = fresh;
  }

  /** What is on disk for good. */
  get committed(): CommitPoint {
    return this.#committed;
  }

  /** Where the next batch begins. */
  get at(): CommitPoint {
    return this.#at;
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Bytes were written that are not committed. */
  get isDirty(): boolean {
    return this.#dirty;
  }

  /** Adds a batch to the files' ends. When it throws, call `rollBack`. */
  async write(batch: Batch, offset: number): Promise<void> {
    const open = this.#opened();
    this.#dirty = true;
    this.#at.transcript += await writeAll(open.transcript, batch.output, this.#at.transcript);
    this.#at.input += await this.#writeInput(open, batch.input);
    this.#at.time = batch.time;
    this.#at.stream = batch.stream;
    this.#at.offset = offset;
    this.#lines += batch.timing;
    if (this.#lines.length > TIMING_WAITS) await this.#writeLines(open);
  }

  /** Makes all that was written durable and moves the commit point. */
  async commit(): Promise<void> {
    if (!this.#dirty) return;
    const open = this.#opened();
    this.#lines += commitLine(this.#at.offset);
    await this.#writeLines(open);
    await this.#sync();
    this.#committed = { ...this.#at };
    this.#dirty = false;
  }

  /**
   * Adds the end, which is no commit point: until the manifest says that the session is complete, a crash takes the
   * end off again, and the client sends its exit event once more.
   */
  async finish(trailer: Buffer, lines: string): Promise<void> {
    const open = this.#opened();
    if (this.#dirty) this.#lines += commitLine(this.#at.offset);
    this.#dirty = true;
    this.#at.transcript += await writeAll(open.transcript, [trailer], this.#at.transcript);
    this.#lines += lines;
    await this.#writeLines(open);
  }

  /** Sizes and digests of the files. */
  async seals(): Promise<{ [file: string]: FileSeal }> {
    const open = this.#opened();
    const [transcript, timing, input] = await settled([
      sealOf(open.transcript, this.#at.transcript),
      sealOf(open.timing, this.#at.timing),
      open.input === null ? null : sealOf(open.input, this.#at.input),
    ]);
    return input ? { transcript, timing, input } : { transcript, timing };
  }

  /** Makes the bytes of the files durable, not their names. */
  async syncBytes(): Promise<void> {
    const open = this.#opened();
    await settled([
      syncData(open.transcript),
      syncData(open.timing),
      open.input !== null && this.#inputDirty && syncData(open.input),
    ]);
    this.#inputDirty = false;
  }

  /** Cuts off what is not committed, after an error. */
  rollBack(): void {
    const open = this.#opened();
    this.#lines = '';
    this.#at = { ...this.#committed };
    ftruncateSync(open.transcript, this.#at.transcript);
    ftruncateSync(open.timing, this.#at.timing);
    if (open.input !== null && this.#at.input > 0) ftruncateSync(open.input, this.#at.input);
    else if (open.input !== null) {
      const { input } = open;
      open.input = null;
      closeSync(input);
      rmSync(`${this.path}.input`);
    }
    this.#dirty = false;
  }

  close(): void {
    const open = this.#open;
    this.#open = null;
    if (!open) return;
    closeSync(open.transcript);
    closeSync(open.timing);
    if (open.input !== null) closeSync(open.input);
  }

  #opened(): Descriptors {
    this.#open ??= openFiles(this.path, this.#at.input > 0);
    return this.#open;
  }

  async #writeInput(open: Descriptors, pieces: readonly Uint8Array[]): Promise<number> {
    if (pieces.length === 0) return 0;
    if (open.input === null) {
      open.input = createFile(`${this.path}.input`);
      this.#fresh = true;
    }
    this.#inputDirty = true;
    return writeAll(open.input, pieces, this.#at.input);
  }

  async #writeLines(open: Descriptors): Promise<void> {
    const lines = Buffer.from(this.#lines, 'latin1');
    this.#lines = '';
    this.#at.timing += await writeAll(open.timing, [lines], this.#at.timing);
  }

  async #sync(): Promise<void> {
    await settled([
      this.syncBytes(),
      this.#manifestFresh && syncPath(`${this.path}.json`),
      this.#fresh && syncDirectory(this.directory),
    ]);
    this.#manifestFresh = false;
    this.#fresh = false;
  }
}

/** Opens the files of a session that is there. */
export function openFiles(path: string, hasInput: boolean): Descriptors {
  const transcript = openFile(path);
  const timing = openFile(`${path}.timing`);
  return { transcript, timing, input: hasInput ? openFile(`${path}.input`) : null };
}

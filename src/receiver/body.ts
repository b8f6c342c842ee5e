/** The body of a request: read whole when it is small, taken in batches with back-pressure when it is a stream. */
import type { IncomingMessage } from 'node:http';
import { BATCH, MAX_BUFFERED, SMALLEST_BATCH } from './limits.ts';
import { Refusal } from './refusal.ts';

/** Thrown when the connection ended within the body: nobody is left to be answered. */
export class BodyCutOff extends Error {
  override readonly name = 'BodyCutOff';
}

/** How long a batch may grow before it is handed out, milliseconds: long enough for what is on its way already. */
const GATHER_MS = 2;

/** Bodies that are being taken, which share MAX_BUFFERED. */
let running = 0;

/** Bytes that one body may hold. */
function most(): number {
  return Math.max(SMALLEST_BATCH, Math.min(BATCH, MAX_BUFFERED / running));
}

export interface BodyOptions {
  /** Longest silence, milliseconds; 0 for any. */
  readonly idleMs: number;
  /** Hand out each piece as it comes, because the time of its coming matters. */
  readonly prompt?: boolean;
}

/** A body in batches. At most one `take` at a time; call `close` when done with it. */
export class Body {
  readonly #request: IncomingMessage;
  readonly #idle: NodeJS.Timeout | null;
  readonly #prompt: boolean;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #error: Error | null = null;
  #wake: (() => void) | null = null;
  #gather: NodeJS.Timeout | null = null;
  #paused = false;

  constructor(request: IncomingMessage, { idleMs, prompt = false }: BodyOptions) {
    this.#request = request;
    this.#prompt = prompt;
    this.#idle = idleMs > 0 ? setTimeout(() => this.#silent(), idleMs) : null;
    running++;
    request.on('data', this.#data).on('end', this.#end).on('close', this.#closed).on('error', this.#closed);
  }

  /**
   * The bytes that came since the last call, waiting for some; null at the end.
   * @param waitMs with it: nothing came within this time gives an empty list
   * @throws BodyCutOff, or whatever `stop` was given, once all that came before is taken
   */
  async take(waitMs?: number): Promise<Buffer[] | null> {
    if (!this.#ready()) await this.#wait(waitMs);
    this.#gather = clear(this.#gather);
    if (this.#bytes > 0) {
      const pieces = this.#pieces;
      this.#pieces = [];
      this.#bytes = 0;
      if (this.#paused) {
        this.#paused = false;
        this.#idle?.refresh();
        this.#request.resume();
      }
      return pieces;
    }
    if (this.#error) throw this.#error;
    return this.#ended ? null : [];
  }

  /** Ends the body from our side: `take` throws this error after what has already come. */
  stop(error: Error): void {
    if (this.#ended) return;
    this.#error ??= error;
    this.#request.pause();
    this.#ring();
  }

  close(): void {
    running--;
    clearTimeout(this.#idle ?? undefined);
    this.#gather = clear(this.#gather);
    this.#request.off('data', this.#data).off('end', this.#end).off('close', this.#closed);
  }

  #ready(): boolean {
    return this.#ended || this.#error !== null || this.#bytes >= this.#enough();
  }

  /** Bytes worth a write. */
  #enough(): number {
    return this.#prompt ? 1 : most() / 2;
  }

  async #wait(waitMs: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    if (this.#bytes > 0) this.#gather ??= setTimeout(this.#ring, GATHER_MS);
    const timer = waitMs === undefined ? undefined : setTimeout(this.#ring, waitMs);
    await promise;
    clearTimeout(timer);
  }

  readonly #ring = (): void => {
    this.#wake?.();
    this.#wake = null;
  };

  readonly #data = (piece: Buffer): void => {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#idle?.refresh();
    if (this.#bytes >= most() && !this.#paused) {
      this.#paused = true;
      this.#request.pause();
    }
    if (this.#bytes >= this.#enough()) this.#ring();
    else if (this.#wake) this.#gather ??= setTimeout(this.#ring, GATHER_MS);
  };

  readonly #end = (): void => {
    this.#ended = true;
    this.#ring();
  };

  readonly #closed = (): void => {
    if (this.#ended) return;
    this.#error ??= new BodyCutOff('the connection ended within the body');
    this.#ring();
  };

  #silent(): void {
    // Silence that we asked for does not count.
    if (this.#paused) this.#idle?.refresh();
    else this.stop(new Refusal('timeout', 'no more of the body came'));
  }
}

/**
 * A small body, whole.
 * @throws Refusal when it is larger than `most` bytes or takes longer than `ms`; BodyCutOff
 */
export async function readWhole(request: IncomingMessage, most: number, ms: number): Promise<Buffer> {
  const tooLarge = () => new Refusal('too-large', `more than ${most} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge();
  const body = new Body(request, { idleMs: 0 });
  const late = setTimeout(() => body.stop(new Refusal('timeout', `not there within ${ms} ms`)), ms);
  try {
    const pieces: Buffer[] = [];
    let size = 0;
    for (let taken = await body.take(); taken !== null; taken = await body.take()) {
      for (const piece of taken) size += piece.length;
      if (size > most) throw tooLarge();
      pieces.push(...taken);
    }
    return Buffer.concat(pieces);
  } finally {
    clearTimeout(late);
    body.close();
  }
}

function clear(timer: NodeJS.Timeout | null): null {
  if (timer) clearTimeout(timer);
  return null;
}

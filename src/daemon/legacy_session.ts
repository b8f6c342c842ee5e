/** A session of the original's client: it relays by itself and sends what the terminal showed. */
import type { Descriptor } from '../os/descriptor.ts';
import { EVENT_HEADER, Kind } from '../session/event.ts';
import { MAX_EVENT_PAYLOAD } from '../session/limits.ts';
import type { StreamTotal } from '../session/metadata.ts';
import { Session, type Surroundings } from './session.ts';
import { scratch } from './spool.ts';

export class LegacySession extends Session {
  readonly #connection: Descriptor;
  readonly #first: Buffer;
  #bytes = 0;

  /**
   * @param connection from the client, after its hello; owned from now on
   * @param first terminal output that came with the hello
   */
  constructor(surroundings: Surroundings, connection: Descriptor, first: Buffer) {
    super(surroundings);
    this.#connection = connection;
    this.#first = first;
  }

  override start(): void {
    this.#connection.listen({ readable: () => this.#readable(), writable: () => {} });
    if (this.#first.length > 0) this.#record(this.#first);
    else this.#connection.wantRead(true);
  }

  override tick(): void {}

  #readable(): void {
    let length: number;
    try {
      length = this.#connection.read(scratch, EVENT_HEADER, MAX_EVENT_PAYLOAD);
    } catch {
      length = 0;
    }
    if (length === 0) this.finish('exit');
    if (length > 0) this.#record(scratch.subarray(EVENT_HEADER, EVENT_HEADER + length));
  }

  /** While the spool has no room nothing is read, and the client waits. */
  #record(bytes: Buffer): void {
    if (this.recording.note(Kind.output, bytes)) {
      this.#bytes += bytes.length;
      this.#connection.wantRead(true);
      return;
    }
    const kept = Buffer.from(bytes);
    this.#connection.wantRead(false);
    this.recording.spool.whenRoom(() => this.#record(kept));
  }

  protected override close(): void {
    this.#connection.close();
  }

  protected override totals(): Record<string, StreamTotal> {
    return { output: { bytes: this.#bytes, recorded: this.#bytes, sha256: null } };
  }
}

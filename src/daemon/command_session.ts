/** A session without a terminal: a command's stdin, stdout and stderr. */
import { createHash, type Hash } from 'node:crypto';
import { Descriptor } from '../os/descriptor.ts';
import { native } from '../os/native.ts';
import { EVENT_HEADER, Kind } from '../session/event.ts';
import type { StreamTotal } from '../session/metadata.ts';
import { BorrowedDescriptor } from './borrowed_descriptor.ts';
import { Pump } from './pump.ts';
import { Session, type Surroundings } from './session.ts';
import { type Recording, scratch } from './spool.ts';

/** Descriptors of one stream: where it comes from, where it goes. */
export interface StreamFds {
  readonly name: 'input' | 'output' | 'stderr';
  readonly from: number;
  readonly to: number;
}

export class CommandSession extends Session {
  readonly #streams: Stream[];
  #hungUp = false;

  /**
   * @param capture bytes of each stream to record; the rest is counted and hashed
   * @throws a system error for descriptors that cannot be waited for; then all are the caller's
   */
  constructor(surroundings: Surroundings, fds: readonly StreamFds[], capture: number) {
    super(surroundings);
    this.#streams = fds.map(({ name, from, to }) => {
      const stream = new Stream(name, this.recording, capture);
      stream.pump = new Pump(
        name === 'input' ? new BorrowedDescriptor(from) : new Descriptor(from),
        name === 'input' ? new Descriptor(to) : new BorrowedDescriptor(to),
        this.pumpEvents({
          record: length => stream.record(length),
          ended: () => this.#streamOver(stream, false),
          broken: () => this.#streamOver(stream, true),
        }),
      );
      return stream;
    });
  }

  override start(): void {
    for (const { pump } of this.#streams) {
      pump.from.listen({ readable: () => pump.readable(), writable: () => {} });
      pump.to.listen({ readable: () => {}, writable: () => pump.writable() });
      pump.start();
    }
    this.leader.whenExited(() => this.#checkEnd());
  }

  override tick(): void {}

  /** An end is passed on as an end, half by half; one that takes no more closes the other, which then gets SIGPIPE. */
  #streamOver({ pump, name }: Stream, broken: boolean): void {
    // Only towards the command, which may have one socket for both ways. The way out may be shared with others who still
    // write, as in `ssh host 'ttyspy ...; echo more'`.
    if (name === 'input') shutDown(pump.to.fd);
    pump.to.close();
    pump.from.close();
    if (broken && name !== 'input') this.#hungUp = true;
    this.#checkEnd();
  }

  /** Over when nothing can be printed any more, and nobody is left to read: not while a command still eats its input. */
  #checkEnd(): void {
    const open = this.#streams.filter(stream => !stream.pump.over);
    if (open.some(stream => stream.name !== 'input')) return;
    if (open.length > 0 && !this.leader.exited && this.leader.watched) return;
    this.finish(this.#hungUp ? 'hangup' : 'exit');
  }

  protected override close(): void {
    for (const { pump } of this.#streams) {
      pump.stop();
      pump.to.close();
      pump.from.close();
    }
  }

  protected override totals(): Record<string, StreamTotal> {
    return Object.fromEntries(this.#streams.map(stream => [stream.name, stream.total()]));
  }
}

function shutDown(fd: number): void {
  try {
    native.shutdownWrite(fd);
  } catch {
    // ENOTSOCK: a pipe, whose end is told by closing.
  }
}

const KINDS = { input: Kind.input, output: Kind.output, stderr: Kind.stderr } as const;

/** One stream's record: all of it up to the cap, and the digest of the whole. */
class Stream {
  readonly name: 'input' | 'output' | 'stderr';
  declare pump: Pump;
  readonly #recording: Recording;
  readonly #capture: number;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;
  #recorded = 0;

  constructor(name: Stream['name'], recording: Recording, capture: number) {
    this.name = name;
    this.#recording = recording;
    this.#capture = capture;
  }

  /** As PumpEvents.record. */
  record(length: number): boolean {
    const wanted = Math.min(length, this.#capture - this.#recorded);
    if (wanted > 0 && !this.#recording.append(KINDS[this.name], wanted)) return false;
    this.#hash.update(scratch.subarray(EVENT_HEADER, EVENT_HEADER + length));
    this.#bytes += length;
    this.#recorded += wanted;
    if (wanted < length && this.#bytes - length <= this.#capture) this.#markCap();
    return true;
  }

  total(): StreamTotal {
    const complete = this.#recorded === this.#bytes;
    return {
      bytes: this.#bytes,
      recorded: this.#recorded,
      sha256: complete ? null : this.#hash.digest('hex'),
    };
  }

  /** Tells whoever replays that from here on this stream went by unrecorded. */
  #markCap(): void {
    const marker = { type: 'capture-limit', stream: this.name, recorded: this.#recorded };
    this.#recording.note(Kind.marker, Buffer.from(JSON.stringify(marker)));
  }
}

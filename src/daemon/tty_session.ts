/** A session on a terminal: outer tty and inner pty, relayed both ways. */
import { Descriptor } from '../os/descriptor.ts';
import { native } from '../os/native.ts';
import { encodeResize, Kind } from '../session/event.ts';
import type { StreamTotal } from '../session/metadata.ts';
import { BorrowedDescriptor } from './borrowed_descriptor.ts';
import { monotonic } from './clock.ts';
import { Pump } from './pump.ts';
import { Session, type Surroundings } from './session.ts';

/** How long a look at the window's size is good for while somebody types, microseconds. */
const LOOK_US = 50_000;

export class TtySession extends Session {
  readonly #outer: Descriptor;
  readonly #inner: Descriptor;
  readonly #connection: Descriptor;
  readonly #output: Pump;
  readonly #input: Pump;
  /** The outer terminal as it was, for whoever goes on with it. */
  readonly #settings: Buffer;
  #size: number;
  /** When the window's size was looked at last, monotonic microseconds. */
  #looked = 0;
  #outputBytes = 0;
  #inputBytes = 0;

  /**
   * @param outer the terminal that sshd, login or node-pty made; owned from now on
   * @param inner the master of the pty that the shell is on; likewise
   * @param connection to the shell's parent, which ends when this is closed; likewise
   * @throws a system error for descriptors that are not what they should be; then both are the caller's
   */
  constructor(surroundings: Surroundings, outer: number, inner: number, connection: Descriptor) {
    super(surroundings);
    this.#connection = connection;
    this.#settings = native.getTermios(outer);
    this.#size = native.getWindowSize(outer);
    native.makeRaw(outer);
    // Nobody opens the terminal behind the recording.
    native.setExclusive(outer);
    this.#outer = new BorrowedDescriptor(outer);
    this.#inner = new Descriptor(inner);
    this.#output = new Pump(
      this.#inner,
      this.#outer,
      this.pumpEvents({
        record: length => this.#recordOutput(length),
        // The inner terminal hangs up when the shell, its session's leader, is gone.
        ended: () => this.finish('exit'),
        broken: () => this.finish('hangup'),
      }),
    );
    this.#input = new Pump(
      this.#outer,
      this.#inner,
      this.pumpEvents({
        record: length => this.#countInput(length),
        ended: () => this.finish('hangup'),
        // The shell is gone; what it printed last may still have to be read.
        broken: () => this.#output.readable(),
      }),
    );
    this.#outer.listen({ readable: () => this.#input.readable(), writable: () => this.#output.writable() });
    this.#inner.listen({ readable: () => this.#output.readable(), writable: () => this.#input.writable() });
  }

  override start(): void {
    this.#output.start();
    this.#input.start();
    // Only the shell's parent has its other end, and outlives the shell. Unless somebody killed it, or the client did not
    // wait for the answer and went on with its terminal by itself.
    this.#connection.listen({ readable: () => this.finish('killed'), writable: () => {} });
    this.#connection.wantRead(true);
  }

  /** sshd tells nobody that the window changed: the process that would get SIGWINCH has given its terminal away. */
  override tick(): void {
    if (this.#outer.closed) return;
    this.#looked = monotonic();
    let size: number;
    try {
      size = native.getWindowSize(this.#outer.fd);
      if (size === this.#size) return;
      native.copyWindowSize(this.#outer.fd, this.#inner.fd);
    } catch {
      return; // Hung up; the pumps will see it.
    }
    this.#size = size;
    this.note(Kind.resize, encodeResize(size >>> 16, size & 0xffff));
  }

  #recordOutput(length: number): boolean {
    if (!this.recording.append(Kind.output, length)) return false;
    this.#outputBytes += length;
    return true;
  }

  #countInput(length: number): boolean {
    this.#inputBytes += length;
    // What is typed may be meant for the window as it is now.
    if (monotonic() - this.#looked > LOOK_US) this.tick();
    return true;
  }

  protected override close(): void {
    this.#output.stop();
    this.#input.stop();
    this.#inner.close();
    try {
      native.setTermios(this.#outer.fd, this.#settings);
      native.unsetExclusive(this.#outer.fd);
    } catch {
      // Hung up: nobody goes on with it.
    }
    this.#outer.close();
    this.#connection.close();
  }

  protected override totals(): Record<string, StreamTotal> {
    return {
      output: { bytes: this.#outputBytes, recorded: this.#outputBytes, sha256: null },
      input: { bytes: this.#inputBytes, recorded: 0, sha256: null },
    };
  }
}

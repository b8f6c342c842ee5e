/** A non-blocking descriptor in the event loop: somebody is told when it can be read or written. */
import { native, type Poll } from './native.ts';

export interface DescriptorEvents {
  /** There is something to read, or the end, or an error: read it to know. */
  readable(): void;
  /** What would not go before may go now. */
  writable(): void;
}

/**
 * Owns `fd` from now on. Reads and writes never wait. Interest in either direction is off until asked for, which is all
 * there is to back-pressure: not asking leaves the bytes with the kernel, and the other side waits.
 */
export class Descriptor {
  readonly fd: number;
  readonly #poll: Poll;
  #events: DescriptorEvents | null = null;
  #interest = 0;
  #closed = false;

  /** @throws a system error for what cannot be waited for (EPERM: a regular file or the like) */
  constructor(fd: number) {
    native.setNonBlocking(fd, 1);
    this.fd = fd;
    this.#poll = new native.Poll(fd, events => this.#ready(events));
  }

  get closed(): boolean {
    return this.#closed;
  }

  listen(events: DescriptorEvents): void {
    this.#events = events;
  }

  wantRead(on: boolean): void {
    this.#want(on ? this.#interest | native.READABLE : this.#interest & ~native.READABLE);
  }

  wantWrite(on: boolean): void {
    this.#want(on ? this.#interest | native.WRITABLE : this.#interest & ~native.WRITABLE);
  }

  /** @returns bytes read; 0 at the end, -1 when there is nothing yet */
  read(buffer: Uint8Array, offset: number, length: number): number {
    return native.read(this.fd, buffer, offset, length);
  }

  /** @returns bytes written; fewer than `length` when the rest must wait */
  write(buffer: Uint8Array, offset: number, length: number): number {
    return native.write(this.fd, buffer, offset, length);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    native.close(this.fd);
  }

  #want(interest: number): void {
    if (interest === this.#interest || this.#closed) return;
    this.#interest = interest;
    this.#poll.start(interest);
  }

  #ready(events: number): void {
    if (events & native.WRITABLE && !this.#closed) this.#events?.writable();
    // What was told to the writer may have closed it.
    if (events & native.READABLE && !this.#closed) this.#events?.readable();
  }
}

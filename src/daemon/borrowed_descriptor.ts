/**
 * A descriptor that a client handed over and that others go on using: the terminal that su gives back to who called it,
 * the pipe that the next command of a script writes to. O_NONBLOCK is not the descriptor's but of all of its copies, and
 * programs that find it set fail with EAGAIN.
 */
import { fstatSync } from 'node:fs';
import { Descriptor } from '../os/descriptor.ts';
import { native } from '../os/native.ts';

/** What is borrowed now, by any session: how often, and whether it was blocking before the first one had it. */
const borrowed = new Map<string, { count: number; readonly wasBlocking: boolean }>();

export class BorrowedDescriptor extends Descriptor {
  readonly #key: string;

  /** @throws as Descriptor's */
  constructor(fd: number) {
    const { dev, ino } = fstatSync(fd);
    // The two ends of a pipe have one inode.
    const key = `${dev} ${ino} ${native.accessMode(fd)}`;
    const wasBlocking = native.setNonBlocking(fd, 1) === 0;
    super(fd);
    this.#key = key;
    const entry = borrowed.get(key);
    if (entry) entry.count++;
    else borrowed.set(key, { count: 1, wasBlocking });
  }

  override close(): void {
    if (this.closed) return;
    const entry = borrowed.get(this.#key);
    if (entry && --entry.count === 0) {
      borrowed.delete(this.#key);
      if (entry.wasBlocking) native.setNonBlocking(this.fd, 0);
    }
    super.close();
  }
}

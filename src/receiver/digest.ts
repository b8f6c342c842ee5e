/** SHA-256 of a file that is open. */
import { createHash } from 'node:crypto';
import { readAt } from './file.ts';
import type { FileSeal } from './manifest.ts';

/** Bytes read at once: hashing them keeps the other sessions waiting for a third of a millisecond. */
const PIECE = 524_288;

/** @param size how much of the file counts, bytes */
export async function sealOf(fd: number, size: number): Promise<FileSeal> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(Math.min(PIECE, size));
  for (let at = 0; at < size; ) {
    const count = await readAt(fd, buffer.subarray(0, Math.min(buffer.length, size - at)), at);
    if (count === 0) throw new Error(`file ends at byte ${at}, ${size} were written`);
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return { size, sha256: hash.digest('hex') };
}

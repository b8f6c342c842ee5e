/**
 * Files of the archive by descriptor: opened so that no link is followed, written whole, made durable.
 *
 * What the kernel does in its caches is called synchronously: a turn of the thread pool costs ten times the call. What
 * waits for the disk, and what moves many bytes, is not.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fsync,
  openSync,
  read,
  readFileSync,
  readSync,
  writev,
  writevSync,
} from 'node:fs';
import { promisify } from 'node:util';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;

/** Reading and writing, by nobody but the service and its group. */
const FILE_MODE = 0o640;

/** Bytes that are copied in less time than a turn of the thread pool takes. */
const FEW = 65_536;

const writevAsync = promisify(writev);
const readAsync = promisify(read);

export const syncData = promisify(fdatasync);
export const syncFile = promisify(fsync);

/** Makes a file that was not there. @throws EEXIST when it was */
export function createFile(path: string): number {
  return openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
}

/** Opens a file for reading and writing that is there. @throws ELOOP for a symbolic link */
export function openFile(path: string): number {
  return openSync(path, O_RDWR | O_NOFOLLOW);
}

/** Opens a file, or makes it. @throws ELOOP for a symbolic link */
export function openOrCreateFile(path: string): number {
  return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, FILE_MODE);
}

/** Writes all bytes of all pieces at `position`, and says how many they were. */
export async function writeAll(fd: number, pieces: readonly Uint8Array[], position: number): Promise<number> {
  let left = pieces.reduce((sum, piece) => sum + piece.length, 0);
  let rest = pieces;
  let at = position;
  while (left > 0) {
    const written =
      left <= FEW
        ? writevSync(fd, rest as NodeJS.ArrayBufferView[], at)
        : (await writevAsync(fd, rest as NodeJS.ArrayBufferView[], at)).bytesWritten;
    at += written;
    left -= written;
    if (left > 0) rest = after(rest, written);
  }
  return at - position;
}

/** Reads into `buffer` at `position`; 0 at the end of the file. */
export async function readAt(fd: number, buffer: Buffer, position: number): Promise<number> {
  if (buffer.length <= FEW) return readSync(fd, buffer, 0, buffer.length, position);
  return (await readAsync(fd, buffer, 0, buffer.length, position)).bytesRead;
}

/** A small text file, whole. */
export function readText(path: string): string {
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW);
  try {
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): Promise<void> {
  return syncPath(path, O_DIRECTORY);
}

/** Makes a file durable that is not open. */
export async function syncPath(path: string, flags = 0): Promise<void> {
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | flags);
  try {
    await syncFile(fd);
  } finally {
    closeSync(fd);
  }
}

/** Waits for all of them, and only then throws the first error: no descriptor is closed under a running call. */
export async function settled<T extends readonly unknown[]>(
  pending: readonly [...{ [K in keyof T]: Promise<T[K]> | T[K] }],
): Promise<T> {
  const results = await Promise.allSettled(pending);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return results.map(result => (result as PromiseFulfilledResult<unknown>).value) as unknown as T;
}

/** What is left of pieces when their first `bytes` bytes are written. */
function after(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let index = 0;
  let left = bytes;
  for (let piece = pieces[0]; piece && left >= piece.length; piece = pieces[index]) {
    left -= piece.length;
    index++;
  }
  const cut = pieces[index];
  return cut ? [cut.subarray(left), ...pieces.slice(index + 1)] : [];
}

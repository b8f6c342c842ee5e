/** Files of the archive by descriptor: opened so that no link is followed, written whole, made durable. */
import {
  close,
  constants,
  fdatasync,
  fsync,
  ftruncate,
  open,
  read,
  readFile,
  rename,
  unlink,
  writev,
} from 'node:fs';
import { promisify } from 'node:util';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;

/** Reading and writing, by nobody but the service and its group. */
const FILE_MODE = 0o640;

const openAsync = promisify(open);
const writevAsync = promisify(writev);
const readAsync = promisify(read);

const readFileAsync = promisify(readFile);

export const closeFile = promisify(close);
export const syncData = promisify(fdatasync);
export const syncFile = promisify(fsync);
export const truncate = promisify(ftruncate);
export const renameFile = promisify(rename);
export const removeFile = promisify(unlink);

/** Makes a file that was not there. @throws EEXIST when it was */
export function createFile(path: string): Promise<number> {
  return openAsync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
}

/** Opens a file for reading and writing that is there. @throws ELOOP for a symbolic link */
export function openFile(path: string): Promise<number> {
  return openAsync(path, O_RDWR | O_NOFOLLOW);
}

/** Opens a file, or makes it. @throws ELOOP for a symbolic link */
export function openOrCreateFile(path: string): Promise<number> {
  return openAsync(path, O_RDWR | O_CREAT | O_NOFOLLOW, FILE_MODE);
}

/** Writes all bytes of all pieces at `position`, and says how many they were. */
export async function writeAll(fd: number, pieces: readonly Uint8Array[], position: number): Promise<number> {
  let rest = pieces;
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await writevAsync(fd, rest as NodeJS.ArrayBufferView[], at);
    at += bytesWritten;
    rest = after(rest, bytesWritten);
  }
  return at - position;
}

/** Reads into `buffer` at `position`; 0 at the end of the file. */
export async function readAt(fd: number, buffer: Buffer, position: number): Promise<number> {
  const { bytesRead } = await readAsync(fd, buffer, 0, buffer.length, position);
  return bytesRead;
}

/** A small text file, whole. */
export async function readText(path: string): Promise<string> {
  const fd = await openAsync(path, O_RDONLY | O_NOFOLLOW);
  try {
    return await readFileAsync(fd, 'utf8');
  } finally {
    await closeFile(fd);
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): Promise<void> {
  return syncPath(path, O_DIRECTORY);
}

/** Makes a file durable that is not open. */
export async function syncPath(path: string, flags = 0): Promise<void> {
  const fd = await openAsync(path, O_RDONLY | O_NOFOLLOW | flags);
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
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
  while (index < pieces.length && left >= (pieces[index] as Uint8Array).length) {
    left -= (pieces[index] as Uint8Array).length;
    index++;
  }
  if (index === pieces.length) return [];
  return [(pieces[index] as Uint8Array).subarray(left), ...pieces.slice(index + 1)];
}

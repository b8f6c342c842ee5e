/** Replaces a file in one step: whoever reads it sees the old text or the new, also after a crash. */
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { fromSystem } from './failure.ts';

/**
 * Mode and owner stay what they were.
 * @param mode of a file that is not there yet
 * @throws Failure naming the file
 */
export function replaceFile(file: string, text: string, mode = 0o644): void {
  const temporary = `${file}.ttyspyctl`;
  try {
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      writeSync(fd, text);
      const before = statSync(file, { throwIfNoEntry: false });
      if (before) chownSync(temporary, before.uid, before.gid);
      chmodSync(temporary, before ? before.mode & 0o7777 : mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    throw fromSystem(error, file);
  }
}

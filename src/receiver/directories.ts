/** The directories of the archive: made one by one, durable, and never through a symbolic link. */
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory } from './file.ts';

/** For the service to write, for its group to list. */
const DIRECTORY_MODE = 0o750;

/** Directories being made right now: whoever finds one waits until its name is durable too. */
const making = new Map<string, Promise<void>>();

/**
 * Sees to it that the directories below the store are there and are directories.
 * @returns path of the last one
 * @throws Error when something else stands at one of the names
 */
export async function makeDirectories(store: string, names: readonly string[]): Promise<string> {
  let path = store;
  for (const name of names) {
    const parent = path;
    path = join(parent, name);
    if (!isDirectory(path) && !making.has(path)) making.set(path, make(path, parent));
    await making.get(path);
  }
  return path;
}

async function make(path: string, parent: string): Promise<void> {
  try {
    mkdirSync(path, DIRECTORY_MODE);
    await syncDirectory(parent);
  } finally {
    making.delete(path);
  }
}

function isDirectory(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && !stat.isDirectory()) {
    throw Object.assign(new Error(`${path} is in the way: not a directory`), { code: 'ENOTDIR' });
  }
  return stat !== undefined;
}

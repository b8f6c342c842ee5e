/** An archive on this machine: STORE/USER/HOST/YYYY/MM/DD/transcript_START_ID. */
import { type Dirent, existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { RECEIVER_DIRECTIVES } from '../../config/receiver_conf.ts';
import { ConfigError, ConfigFileError, loadReceiverConf } from '../../os/config_file.ts';
import { Exit, Failure, fromSystem, printable, usageFailure } from '../failure.ts';
import { parseTranscriptName, type Recording, readRecording } from './recording.ts';

/** Levels below a user's directory: host, year, month, day. */
const LEVELS = 4;

/** Told of what could not be read; the rest is listed all the same. */
export type Complain = (failure: Failure) => void;

/** The store that receiver.conf names, or the receiver's default where there is no such file. */
export function defaultStore(): string {
  try {
    return loadReceiverConf().store;
  } catch (error) {
    if (error instanceof ConfigFileError && error.code === 'ENOENT') {
      return RECEIVER_DIRECTIVES.store.default ?? '/srv/transcripts';
    }
    if (error instanceof ConfigFileError || error instanceof ConfigError) {
      throw new Failure(Exit.configuration, `${error.message}; or name the archive with --store`);
    }
    throw error;
  }
}

/**
 * Paths of all transcripts, user by user.
 * @param users only theirs; all when empty
 * @throws Failure when there is no store
 */
export function* transcripts(
  store: string,
  users: readonly string[],
  complain: Complain,
): Generator<string, void, undefined> {
  if (!existsSync(store)) {
    throw new Failure(
      Exit.noInput,
      `there is no archive at ${printable(store)}; name its directory with --store`,
    );
  }
  for (const user of subdirectories(store, complain)) {
    if (users.length > 0 && !users.includes(user)) continue;
    yield* below(join(store, user), LEVELS, complain);
  }
}

/** The recordings, read one by one. */
export function* recordings(
  store: string,
  users: readonly string[],
  complain: Complain,
): Generator<Recording, void, undefined> {
  for (const file of transcripts(store, users, complain)) {
    const recording = attempt(file, () => readRecording(file), complain);
    if (recording) yield recording;
  }
}

/**
 * The recording that a person means by a file's path, a session's id, or the beginning of one.
 * @throws Failure when there is none or more than one
 */
export function findRecording(store: () => string, which: string): Recording {
  if (which.includes('/') || existsSync(which)) {
    const file = which.replace(/\.(?:timing|input|json)$/, '');
    try {
      return readRecording(file);
    } catch (error) {
      throw fromSystem(error, file);
    }
  }
  const inStore = store();
  const found: string[] = [];
  const wanted = which.startsWith('transcript_') ? parseTranscriptName(which)?.id : which;
  for (const file of transcripts(inStore, [], () => {})) {
    const id = parseTranscriptName(basename(file))?.id;
    if (wanted !== undefined && id?.startsWith(wanted)) found.push(file);
    if (id === wanted && wanted?.length === 16) break;
  }
  const [file, another] = found;
  if (file === undefined) {
    throw new Failure(
      Exit.noInput,
      `there is no session ${JSON.stringify(which)} in ${printable(inStore)}; see ttyspyctl list`,
    );
  }
  if (another !== undefined) {
    throw usageFailure(`${found.length} sessions begin with ${JSON.stringify(which)}; give more of the id`);
  }
  return readRecording(file);
}

function* below(directory: string, levels: number, complain: Complain): Generator<string, void, undefined> {
  if (levels > 0) {
    for (const name of subdirectories(directory, complain)) {
      yield* below(join(directory, name), levels - 1, complain);
    }
    return;
  }
  for (const entry of entries(directory, complain)) {
    if (entry.isFile() && parseTranscriptName(entry.name)) yield join(directory, entry.name);
  }
}

function subdirectories(directory: string, complain: Complain): string[] {
  return entries(directory, complain)
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name);
}

function entries(directory: string, complain: Complain): Dirent[] {
  const found = attempt(directory, () => readdirSync(directory, { withFileTypes: true }), complain) ?? [];
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function attempt<T>(path: string, read: () => T, complain: Complain): T | null {
  try {
    return read();
  } catch (error) {
    const failure = fromSystem(error, path);
    if (!(failure instanceof Failure)) throw failure;
    complain(failure);
    return null;
  }
}

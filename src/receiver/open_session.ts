/** Opens a session's place in the archive: new, or as an earlier connection, receiver or crash has left it. */
import { closeSync, fstatSync, ftruncateSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { SessionStart } from '../session/metadata.ts';
import { archivePath } from './archive_path.ts';
import { type CommitPoint, CommitPointSearch } from './commit_point.ts';
import { makeDirectories } from './directories.ts';
import { createFile, openFile, openOrCreateFile, readAt, syncFile, writeAll } from './file.ts';
import { type Manifest, manifestText, metadataOf, readManifest } from './manifest.ts';
import { Refusal } from './refusal.ts';
import { SessionFiles } from './session_files.ts';
import { timingHeader } from './timing.ts';
import { firstLineLength, transcriptHeader } from './transcript.ts';

/** Bytes of a timing file read at once. */
const PIECE = 262_144;

export interface OpenedSession {
  readonly files: SessionFiles;
  /** The session was not there before. */
  readonly created: boolean;
  /** Offset of the end, when the session is complete. */
  readonly sealed: number | null;
}

/**
 * @param certificate fingerprint of the client's certificate, for the manifest of a new session
 * @throws Refusal when another session's metadata stand there
 */
export async function openSession(
  store: string,
  start: SessionStart,
  certificate: string,
): Promise<OpenedSession> {
  const { directories, name } = archivePath(start);
  const directory = await makeDirectories(store, directories);
  const path = join(directory, name);
  try {
    return { files: await create(directory, path, start, certificate), created: true, sealed: null };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return recover(directory, path, start, certificate);
  }
}

/** @throws EEXIST when any of the files is there */
async function create(
  directory: string,
  path: string,
  start: SessionStart,
  certificate: string,
): Promise<SessionFiles> {
  const opened: number[] = [];
  try {
    const transcript = createFile(path);
    opened.push(transcript);
    const timing = createFile(`${path}.timing`);
    opened.push(timing);
    const manifest = createFile(`${path}.json`);
    opened.push(manifest);
    await writeAll(manifest, [manifestText({ ...start, certificate })], 0);
    closeSync(opened.pop() as number);
    const at = await writeBase(transcript, timing, start);
    return new SessionFiles(directory, path, at, { transcript, timing, input: null }, true);
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

/** Transcript's header, and the lines of timing that stand for it. */
async function writeBase(transcript: number, timing: number, start: SessionStart): Promise<CommitPoint> {
  const header = transcriptHeader(start);
  const lines = Buffer.from(timingHeader(start, header.length - firstLineLength(start)));
  await writeAll(transcript, [header], 0);
  await writeAll(timing, [lines], 0);
  return {
    offset: 0,
    time: 0,
    transcript: header.length,
    timing: lines.length,
    input: 0,
    stream: 'stdout',
  };
}

async function recover(
  directory: string,
  path: string,
  start: SessionStart,
  certificate: string,
): Promise<OpenedSession> {
  const manifest = readManifest(`${path}.json`);
  if (manifest && !sameMetadata(manifest, start)) {
    throw new Refusal('other-metadata', 'the session is there with other metadata');
  }
  if (manifest?.files) return sealedSession(directory, path, manifest);
  const transcript = openOrCreateFile(path);
  let timing: number | null = null;
  try {
    timing = openOrCreateFile(`${path}.timing`);
    const at = await cutBack(path, transcript, timing, start);
    // None, or a torn one: a crash before the first commit.
    if (!manifest) await writeManifest(`${path}.json`, { ...start, certificate });
    rmSync(`${path}.json.new`, { force: true });
    const input = at.input > 0 ? openFile(`${path}.input`) : null;
    const files = new SessionFiles(directory, path, at, { transcript, timing, input }, true);
    return { files, created: false, sealed: null };
  } catch (error) {
    closeSync(transcript);
    if (timing !== null) closeSync(timing);
    throw error;
  }
}

export function sameMetadata(manifest: Manifest, start: SessionStart): boolean {
  return isDeepStrictEqual(metadataOf(manifest), start);
}

function sealedSession(directory: string, path: string, manifest: Manifest): OpenedSession {
  const { files, offset = 0 } = manifest;
  const at: CommitPoint = {
    offset,
    time: 0,
    transcript: files?.['transcript']?.size ?? 0,
    timing: files?.['timing']?.size ?? 0,
    input: files?.['input']?.size ?? 0,
    stream: 'stdout',
  };
  return { files: new SessionFiles(directory, path, at, null, false), created: false, sealed: offset };
}

/** Cuts the files back to the last commit point that all of them hold, durably. */
async function cutBack(
  path: string,
  transcript: number,
  timing: number,
  start: SessionStart,
): Promise<CommitPoint> {
  const input = openIfThere(`${path}.input`);
  try {
    const sizes = {
      transcript: fstatSync(transcript).size,
      input: input === null ? 0 : fstatSync(input).size,
    };
    const search = new CommitPointSearch(firstLineLength(start), sizes);
    await readThrough(timing, piece => search.push(piece));
    ftruncateSync(transcript, search.found?.transcript ?? 0);
    ftruncateSync(timing, search.found?.timing ?? 0);
    const at = search.found ?? (await writeBase(transcript, timing, start));
    await syncFile(transcript);
    await syncFile(timing);
    if (input !== null && at.input > 0) {
      ftruncateSync(input, at.input);
      await syncFile(input);
    } else if (input !== null) rmSync(`${path}.input`);
    return at;
  } finally {
    if (input !== null) closeSync(input);
  }
}

async function readThrough(fd: number, take: (piece: Buffer) => void): Promise<void> {
  const buffer = Buffer.allocUnsafe(PIECE);
  for (let at = 0; ; ) {
    const count = await readAt(fd, buffer, at);
    if (count === 0) return;
    take(buffer.subarray(0, count));
    at += count;
  }
}

async function writeManifest(path: string, manifest: Manifest): Promise<void> {
  const fd = openOrCreateFile(path);
  try {
    ftruncateSync(fd, 0);
    await writeAll(fd, [manifestText(manifest)], 0);
  } finally {
    closeSync(fd);
  }
}

function openIfThere(path: string): number | null {
  try {
    return openFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

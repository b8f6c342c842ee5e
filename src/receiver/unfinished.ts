/**
 * Sessions of the original's interface that run now, a file for each in `STORE/.unfinished`: nobody comes back for them
 * after a crash of ours, so the next start has to find and end them.
 */
import { closeSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../os/log.ts';
import { type EndReason, isSessionId, type SessionStart } from '../session/metadata.ts';
import { completeSession } from './completion.ts';
import { createFile, readText, syncDirectory, syncFile, writeAll } from './file.ts';
import { parseMetadata } from './manifest.ts';
import { openSession } from './open_session.ts';
import type { SessionFiles } from './session_files.ts';

const NAME = '.unfinished';

/** Notes durably that a session runs. */
export async function noteUnfinished(store: string, start: SessionStart): Promise<void> {
  const directory = join(store, NAME);
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  const path = join(directory, start.id);
  const fd = createFile(path);
  try {
    await writeAll(fd, [Buffer.from(JSON.stringify(start))], 0);
    await syncFile(fd);
  } catch (error) {
    rmSync(path);
    throw error;
  } finally {
    closeSync(fd);
  }
  await syncDirectory(directory);
}

export function noteFinished(store: string, id: string): void {
  rmSync(join(store, NAME, id), { force: true });
}

/** Completes such a session: its body is the stream, its metadata are from headers. */
export async function finishTranscript(
  files: SessionFiles,
  reason: EndReason,
  time: number,
): Promise<number> {
  const bytes = files.at.offset;
  const output = { bytes, recorded: bytes, sha256: null };
  await completeSession(files, { reason, status: null, signal: null, streams: { output } }, time, bytes);
  return bytes;
}

/** Ends what a crash left running, as cut off at its last commit point. What cannot be ended stays, and is logged. */
export async function finishLeftovers(store: string, log: Log): Promise<void> {
  for (const id of leftovers(store)) {
    try {
      const start = parseMetadata(readText(join(store, NAME, id)));
      const { files, sealed } = await openSession(store, start, '');
      if (sealed === null) {
        const { hostname, username } = start;
        const offset = await finishTranscript(files, 'cut-off', files.at.time);
        log.warn({ id, hostname, username, offset }, 'session cut off: the archive ended before it did');
      }
      files.close();
      noteFinished(store, id);
    } catch (error) {
      log.error({ id, cause: (error as Error).message }, 'a session that a crash cut off cannot be ended');
    }
  }
}

function leftovers(store: string): string[] {
  try {
    return readdirSync(join(store, NAME)).filter(isSessionId);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

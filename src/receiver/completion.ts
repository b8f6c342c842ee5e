/** The end of a session: trailer, digests, and the manifest that says it is complete. */
import { renameSync } from 'node:fs';
import type { SessionEnd } from '../session/metadata.ts';
import { settled, syncDirectory } from './file.ts';
import { readManifest, writeTemporaryManifest } from './manifest.ts';
import type { SessionFiles } from './session_files.ts';
import { timingTrailer } from './timing.ts';
import { isoTime, transcriptTrailer } from './transcript.ts';

/**
 * Completes a session, all of it durable when this returns. Until the manifest has its name, a crash leaves the session
 * as it was at its last commit point.
 * @param time of the end, microseconds since the start
 * @param offset bytes of the event stream, the exit event included
 */
export async function completeSession(
  files: SessionFiles,
  end: SessionEnd,
  time: number,
  offset: number,
): Promise<void> {
  const path = `${files.path}.json`;
  const manifest = readManifest(path);
  if (!manifest) throw new Error(`${path} is not there any more, or no manifest`);
  const ended = Date.parse(manifest.started) + Math.floor(time / 1_000);
  const trailer = transcriptTrailer(ended, end);
  const lines = timingTrailer(time - files.at.time, trailer.length, time, end.status);
  await files.finish(trailer, lines);
  // The manifest is written beside the bytes that it speaks of, and gets its name when they are durable.
  const [temporary] = await settled([
    files
      .seals()
      .then(seals =>
        writeTemporaryManifest(path, { ...manifest, end, ended: isoTime(ended), offset, files: seals }),
      ),
    files.syncBytes(),
  ]);
  renameSync(temporary, path);
  await syncDirectory(files.directory);
}

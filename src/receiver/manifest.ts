/** The manifest: what is known of a session, in JSON beside its transcript. */
import { closeSync, ftruncateSync, rmSync } from 'node:fs';
import { MetadataError, parseSessionStart, type SessionEnd, type SessionStart } from '../session/metadata.ts';
import { openOrCreateFile, readText, syncFile, writeAll } from './file.ts';

export interface FileSeal {
  /** Bytes. */
  readonly size: number;
  /** Hex. */
  readonly sha256: string;
}

/** What the receiver adds to the SessionStart, whose members stand beside these. */
export interface Completion {
  readonly end: SessionEnd;
  /** When it ended, RFC 3339 in UTC. */
  readonly ended: string;
  /** Bytes of the event stream. */
  readonly offset: number;
  /** By the end of the file's name: transcript, timing, and input where there is one. */
  readonly files: { readonly [file: string]: FileSeal };
}

export type Manifest = SessionStart & {
  /** SHA-256 of the certificate that the session was created with, colon-separated hex. */
  readonly certificate?: string;
} & Partial<Completion>;

/** Members that only the receiver may set: metadata with one of them could pass for a sealed session. */
const RESERVED = ['certificate', 'end', 'ended', 'offset', 'files', 'seal', 'ledger'];

/**
 * Checks the metadata of a create request.
 * @throws MetadataError naming the first member that is wrong
 */
export function parseMetadata(text: string): SessionStart {
  const start = parseSessionStart(text);
  for (const member of RESERVED) {
    if (Object.hasOwn(start, member)) throw new MetadataError(member, 'is for the archive to set');
  }
  return start;
}

export function manifestText(manifest: Manifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
}

/** The metadata in a manifest, without what the receiver added. */
export function metadataOf(manifest: Manifest): SessionStart {
  return Object.fromEntries(
    Object.entries(manifest).filter(([member]) => !RESERVED.includes(member)),
  ) as unknown as SessionStart;
}

/** @returns null when there is none, or what a crash left of one */
export function readManifest(path: string): Manifest | null {
  try {
    const text = readText(path);
    return parseSessionStart(text) as Manifest;
  } catch (error) {
    if (error instanceof MetadataError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Writes a manifest to a temporary name, durably; the caller renames it when all else is durable too.
 * @returns the temporary name
 */
export async function writeTemporaryManifest(path: string, manifest: Manifest): Promise<string> {
  const temporary = `${path}.new`;
  const fd = await openOrCreateFile(temporary);
  try {
    // What a crash has left there may be longer.
    ftruncateSync(fd, 0);
    await writeAll(fd, [manifestText(manifest)], 0);
    await syncFile(fd);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  return temporary;
}

/**
 * One session as it lies in an archive: its transcript and what stands beside it (src/receiver/PROTOCOL.md, Files). A
 * transcript of the original receiver, which has nothing beside it, is one too.
 *
 * Whoever was recorded had a say in these files: nothing in them is believed further than needed.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type Mode, parseSessionEnd, parseSessionStart, type SessionEnd } from '../../session/metadata.ts';

export interface Recording {
  /** Path of the transcript. */
  readonly file: string;
  /** The session's id; of the original's, the random digits at the end of the file's name. */
  readonly id: string;
  readonly username: string;
  readonly hostname: string;
  /** RFC 3339, UTC. */
  readonly started: string;
  /** RFC 3339, UTC; null while the session goes on, and after an interruption. */
  readonly ended: string | null;
  /** `original` where there is no manifest. */
  readonly mode: Mode | 'original';
  readonly rows: number | null;
  readonly columns: number | null;
  readonly end: SessionEnd | null;
  /** Of the transcript, bytes. */
  readonly size: number;
  /** Length of what stands behind the session's bytes, 0 while it goes on. */
  readonly trailer: number;
}

/** Longest manifest that is read: SessionStart has at most 64 KiB, what the receiver adds is little. */
const LONGEST_MANIFEST = 1024 ** 2;
const LONGEST_TRAILER = 256;
const NAME = /^transcript_(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)_([A-Za-z0-9]{1,64})$/;
const TRAILER = /\n\nSession ended: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n(?:Session cut off: [ -~]*\n)?$/;

/** Start and id out of a transcript's name; null for any other file. */
export function parseTranscriptName(name: string): { started: string; id: string } | null {
  const [, started, id] = NAME.exec(name) ?? [];
  return started === undefined || id === undefined ? null : { started, id };
}

/** @throws a system error when the transcript cannot be read */
export function readRecording(file: string): Recording {
  const { size, tail } = readTail(file, LONGEST_TRAILER);
  const [trailer, ended] = TRAILER.exec(tail) ?? [];
  const manifest = readManifest(`${file}.json`);
  const complete = manifest === null || manifest.complete;
  const day = dirname(file);
  const above = (levels: number): string => basename(day.split('/').slice(0, -levels).join('/'));
  const name = parseTranscriptName(basename(file));
  return {
    // What the place in the store says is what holds where there is no manifest.
    id: name?.id ?? basename(file),
    username: above(4),
    hostname: above(3),
    started: name?.started ?? '',
    ended: ended ?? null,
    mode: 'original',
    rows: null,
    columns: null,
    end: null,
    ...manifest?.facts,
    ...(complete ? {} : { ended: null }),
    file,
    size,
    // A user can print what looks like a trailer. It is one only where the receiver says that the session is over.
    trailer: complete ? (trailer?.length ?? 0) : 0,
  };
}

/** Opens a regular file, and nothing else that may lie in its place. */
export function openRegular(file: string): number {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw Object.assign(new Error(`${file} is not a regular file`), {
    code: 'EINVAL',
    syscall: 'open',
    path: file,
  });
}

function readTail(file: string, most: number): { size: number; tail: string } {
  const fd = openRegular(file);
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, most));
    const length = readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return { size, tail: buffer.toString('latin1', 0, length) };
  } finally {
    closeSync(fd);
  }
}

/** @returns null when there is none, or none that can be understood */
function readManifest(file: string): { complete: boolean; facts: Partial<Recording> } | null {
  try {
    const fd = openRegular(file);
    try {
      const { size } = fstatSync(fd);
      if (size > LONGEST_MANIFEST) return null;
      const buffer = Buffer.alloc(size);
      return parseManifest(buffer.toString('utf8', 0, readSync(fd, buffer, 0, size, 0)));
    } finally {
      closeSync(fd);
    }
  } catch {
    // The transcript is there and speaks for itself.
    return null;
  }
}

function parseManifest(text: string): { complete: boolean; facts: Partial<Recording> } {
  const start = parseSessionStart(text);
  const { ended, end, files } = start as { ended?: unknown; end?: unknown; files?: unknown };
  const { id, username, hostname, started, mode, rows, columns } = start;
  const facts = { id, username, hostname, started, mode, rows, columns };
  if (typeof files !== 'object' || files === null) return { complete: false, facts };
  return {
    complete: true,
    facts: {
      ...facts,
      end: end === undefined ? null : parseSessionEnd(JSON.stringify(end)),
      ...(typeof ended === 'string' && !Number.isNaN(Date.parse(ended)) ? { ended } : {}),
    },
  };
}

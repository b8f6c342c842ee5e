/**
 * What is known of a session when it starts and when it ends. JSON in the spool's first line, in the create request,
 * in the exit event and in the archive's manifest.
 */
import { MAX_NAME } from './limits.ts';

/** How the session was started: on a terminal, as a command on pipes, or by the original's client. */
export type Mode = 'tty' | 'command' | 'legacy';

/** Facts: read by ttyspyd from the kernel and the passwd database. */
export interface KernelFacts {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Login uid of the audit subsystem, null where unset or unreadable. */
  readonly loginuid: number | null;
  /** Audit session, null where unset or unreadable. */
  readonly audit_session: number | null;
  readonly parent_pid: number | null;
  /** The parent's command name (proc(5), comm). */
  readonly parent_comm: string | null;
  readonly home: string;
  readonly shell: string;
  /** The terminal handed over, such as /dev/pts/3, as the kernel names it. */
  readonly tty: string | null;
}

/** Claims: what the client said of itself. Strings as it sent them; nothing may rest on them. */
export interface Claims {
  readonly ssh_tty?: string;
  readonly ssh_client?: string;
  readonly ssh_connection?: string;
  readonly ssh_original_command?: string;
  readonly term?: string;
  readonly lang?: string;
  /** The program that the client is about to become, with its arguments. */
  readonly argv?: readonly string[];
  /** The terminal could not be taken from a parent that still holds it. */
  readonly tty_shared?: boolean;
}

export interface SessionStart {
  readonly version: 1;
  /** Sixteen characters of a-z and 2-7, 80 random bits. */
  readonly id: string;
  readonly hostname: string;
  readonly username: string;
  readonly gecos: string;
  /** RFC 3339, UTC, such as 2026-11-21T21:24:20.123456Z. */
  readonly started: string;
  readonly mode: Mode;
  readonly rows: number | null;
  readonly columns: number | null;
  /** Null when only the original's interface was spoken, which does not tell. */
  readonly kernel: KernelFacts | null;
  readonly claims: Claims;
}

/** What one stream of the session carried. */
export interface StreamTotal {
  /** Bytes that passed, recorded or not. */
  readonly bytes: number;
  /** Bytes of these that are in the record. */
  readonly recorded: number;
  /** SHA-256 of all that passed, hex; null when everything is in the record and speaks for itself. */
  readonly sha256: string | null;
}

/** Why a session ended. */
export type EndReason = 'exit' | 'hangup' | 'killed' | 'error' | 'daemon-gone' | 'cut-off';

export interface SessionEnd {
  readonly reason: EndReason;
  /** Exit status of the shell; null when a signal ended it or the kernel does not tell. */
  readonly status: number | null;
  /** Number of the signal that ended the shell. */
  readonly signal: number | null;
  /** Totals by stream: output, input, stderr. */
  readonly streams: { readonly [stream: string]: StreamTotal };
  /** A plain sentence when reason is error. */
  readonly detail?: string;
}

/** Thrown for metadata that is not what it should be. `member` names the culprit. */
export class MetadataError extends Error {
  override readonly name = 'MetadataError';
  readonly code = 'METADATA_INVALID';
  readonly member: string;

  constructor(member: string, problem: string) {
    super(`${member}: ${problem}`);
    this.member = member;
  }
}

const ID = /^[a-z2-7]{16}$/;
const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z$/;

/** Whether it is a session's id. */
export function isSessionId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value);
}

/** A session's id from ten random bytes: base32 (RFC 4648) in lower case. */
export function sessionId(random: Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = 0n;
  for (const byte of random.subarray(0, 10)) bits = (bits << 8n) | BigInt(byte);
  return Array.from({ length: 16 }, (_, i) => alphabet[Number((bits >> BigInt(75 - 5 * i)) & 31n)]).join('');
}

/**
 * What is wrong with a user or host name that is to become a directory's name; null when nothing is.
 * Names are refused, never repaired: a repaired name is another user's.
 */
export function nameProblem(name: string): string | null {
  if (name === '') return 'is empty';
  if (name === '.' || name === '..') return 'is a relative path';
  if (name.includes('/')) return 'contains a slash';
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) return 'contains a control character';
  if (!name.isWellFormed()) return 'is not well-formed Unicode';
  if (Buffer.byteLength(name) > MAX_NAME) return `is longer than ${MAX_NAME} bytes`;
  return null;
}

/**
 * Checks metadata from a peer or from disk.
 * @throws MetadataError naming the first member that is wrong
 */
export function parseSessionStart(text: string): SessionStart {
  const object = parseObject(text);
  if (object['version'] !== 1) throw new MetadataError('version', 'is not 1');
  if (!isSessionId(object['id'])) throw new MetadataError('id', 'is not sixteen characters of a-z and 2-7');
  for (const member of ['hostname', 'username']) {
    const problem = nameProblem(string(object, member));
    if (problem) throw new MetadataError(member, problem);
  }
  string(object, 'gecos');
  if (!isTime(string(object, 'started')))
    throw new MetadataError('started', 'is not an RFC 3339 time in UTC');
  if (!['tty', 'command', 'legacy'].includes(string(object, 'mode'))) {
    throw new MetadataError('mode', 'is none of tty, command, legacy');
  }
  for (const member of ['rows', 'columns']) {
    const value = object[member];
    if (value !== null && !isCount(value, 0xffff)) throw new MetadataError(member, 'is no size of a window');
  }
  for (const member of ['kernel', 'claims']) {
    const value = object[member];
    if (!isObject(value) && !(member === 'kernel' && value === null)) {
      throw new MetadataError(member, 'is not an object');
    }
  }
  return object as unknown as SessionStart;
}

/**
 * Checks the payload of an exit event.
 * @throws MetadataError naming the first member that is wrong
 */
export function parseSessionEnd(text: string): SessionEnd {
  const object = parseObject(text);
  string(object, 'reason');
  for (const member of ['status', 'signal']) {
    if (object[member] !== null && !isCount(object[member], 255))
      throw new MetadataError(member, 'is no number to 255');
  }
  const streams = object['streams'];
  if (!isObject(streams)) throw new MetadataError('streams', 'is not an object');
  for (const [name, total] of Object.entries(streams)) {
    if (!isObject(total) || !isCount(total['bytes']) || !isCount(total['recorded'])) {
      throw new MetadataError(`streams.${name}`, 'is no total of a stream');
    }
  }
  return object as unknown as SessionEnd;
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MetadataError('metadata', 'is not JSON');
  }
  if (!isObject(value)) throw new MetadataError('metadata', 'is not a JSON object');
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown, most = Number.MAX_SAFE_INTEGER): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

function isTime(value: string): boolean {
  return TIME.test(value) && !Number.isNaN(Date.parse(value));
}

function string(object: Record<string, unknown>, member: string): string {
  const value = object[member];
  if (typeof value !== 'string') throw new MetadataError(member, 'is not a string');
  return value;
}

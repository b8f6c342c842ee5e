/**
 * What a client says first to ttyspyd, and what ttyspyd answers.
 *
 *     magic     8 bytes   F5 "ttyspy" 01; the last is the version
 *     length    u32       of the JSON that follows, at most 65536
 *     JSON                Hello
 *
 * The descriptors travel with the first byte (SCM_RIGHTS): for a terminal the outer tty and the inner pty's master;
 * for a command the outer stdin, stdout, stderr, then the inner ends that ttyspyd writes stdin to and reads stdout and
 * stderr from (where stdout and stderr are one, stderr is left out of both). The answer is a length and the JSON of Answer.
 *
 * The original's hello is 512 bytes: SSH_TTY and SSH_CLIENT, each padded with NUL to 256. F5 is in no UTF-8 path, so
 * the first byte tells the two apart.
 */
import { MAX_HELLO } from './limits.ts';
import type { Claims } from './metadata.ts';

const MAGIC = Buffer.from('\xf5ttyspy\x01', 'latin1');
const HEADER = MAGIC.length + 4;
const LEGACY_FIELD = 256;

/** How many descriptors may come with a hello, by mode. */
export const HELLO_FDS: Readonly<Record<'tty' | 'command', readonly number[]>> = {
  tty: [2],
  command: [4, 6],
};

export interface Hello {
  readonly mode: 'tty' | 'command';
  readonly claims: Claims;
}

/** The original's hello, and the first bytes of terminal output behind it. */
export interface LegacyHello {
  readonly mode: 'legacy';
  readonly claims: Claims;
  readonly rest: Buffer;
}

/** Why a client is turned away: for good (exit status 77), or until there is room again (75). */
export type RefusalCode = 'malformed' | 'descriptor' | 'identity' | 'user-limit' | 'limit' | 'spool';

export type Answer =
  | { readonly ok: true; readonly id: string }
  | { readonly ok: false; readonly code: RefusalCode; readonly message: string };

/** Thrown for bytes that are no hello. */
export class HelloError extends Error {
  override readonly name = 'HelloError';
  readonly code = 'HELLO_INVALID';
}

/** The hello. Claims that are too long for it, such as a very long command, are cut and end in an ellipsis. */
export function encodeHello(hello: Hello): Buffer {
  for (let most = MAX_HELLO; ; most /= 2) {
    const cut = (_: string, value: unknown) =>
      typeof value === 'string' && value.length > most ? `${value.slice(0, most)}…` : value;
    const claims = hello.claims.argv
      ? { ...hello.claims, argv: hello.claims.argv.slice(0, most) }
      : hello.claims;
    const text = Buffer.from(JSON.stringify({ ...hello, claims }, cut));
    if (text.length <= MAX_HELLO) return frame(MAGIC, text);
  }
}

export function encodeAnswer(answer: Answer): Buffer {
  return frame(Buffer.alloc(0), Buffer.from(JSON.stringify(answer)));
}

/**
 * Takes the bytes that came so far.
 * @returns null while more are needed
 * @throws HelloError when no continuation can make it a hello
 */
export function decodeHello(bytes: Buffer): Hello | LegacyHello | null {
  if (bytes.length === 0) return null;
  if (bytes[0] !== MAGIC[0]) return decodeLegacy(bytes);
  const magic = Math.min(bytes.length, MAGIC.length);
  if (bytes.compare(MAGIC, 0, magic, 0, magic) !== 0) throw new HelloError('unknown version of the hello');
  const text = unframe(bytes, MAGIC.length);
  if (text === null) return null;
  if (bytes.length > HEADER + text.length) throw new HelloError('bytes after the hello');
  const hello = parse(text);
  if (hello['mode'] !== 'tty' && hello['mode'] !== 'command') throw new HelloError('unknown mode');
  return { mode: hello['mode'], claims: checkClaims(hello['claims']) };
}

/**
 * @returns null while more bytes are needed
 * @throws HelloError
 */
export function decodeAnswer(bytes: Buffer): Answer | null {
  const text = unframe(bytes, 0);
  if (text === null) return null;
  const answer = parse(text);
  if (answer['ok'] === true && typeof answer['id'] === 'string') return { ok: true, id: answer['id'] };
  if (answer['ok'] === false && typeof answer['message'] === 'string') return answer as unknown as Answer;
  throw new HelloError('malformed answer');
}

function frame(magic: Buffer, text: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([magic, length, text]);
}

function unframe(bytes: Buffer, at: number): Buffer | null {
  if (bytes.length < at + 4) return null;
  const length = bytes.readUInt32BE(at);
  if (length > MAX_HELLO) throw new HelloError(`hello of ${length} bytes, the most is ${MAX_HELLO}`);
  return bytes.length < at + 4 + length ? null : bytes.subarray(at + 4, at + 4 + length);
}

function parse(text: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text.toString());
  } catch {
    throw new HelloError('the hello is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HelloError('the hello is not a JSON object');
  }
  return value as Record<string, unknown>;
}

const CLAIMS = ['ssh_tty', 'ssh_client', 'ssh_connection', 'ssh_original_command', 'term', 'lang'] as const;

/** Keeps what is known and of its type; what else a client says is not recorded. */
function checkClaims(value: unknown): Claims {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HelloError('claims are not an object');
  }
  const from = value as Record<string, unknown>;
  const claims: Record<string, unknown> = {};
  for (const name of CLAIMS) {
    if (from[name] === undefined) continue;
    if (typeof from[name] !== 'string') throw new HelloError(`claim ${name} is not a string`);
    claims[name] = from[name];
  }
  const argv = from['argv'];
  if (argv !== undefined) {
    if (!Array.isArray(argv) || !argv.every(word => typeof word === 'string')) {
      throw new HelloError('claim argv is not a list of strings');
    }
    claims['argv'] = argv;
  }
  if (from['tty_shared'] === true) claims['tty_shared'] = true;
  return claims as Claims;
}

function decodeLegacy(bytes: Buffer): LegacyHello | null {
  if (bytes.length < 2 * LEGACY_FIELD) return null;
  const tty = legacyField(bytes, 0);
  const client = legacyField(bytes, LEGACY_FIELD);
  return {
    mode: 'legacy',
    claims: { ...(tty && { ssh_tty: tty }), ...(client && { ssh_client: client }) },
    rest: Buffer.from(bytes.subarray(2 * LEGACY_FIELD)),
  };
}

function legacyField(bytes: Buffer, at: number): string {
  const field = bytes.subarray(at, at + LEGACY_FIELD);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? LEGACY_FIELD : end).toString();
}

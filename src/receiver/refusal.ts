/** A request that is refused: what status, what code, what sentence. The peer's fault or the disk's, never a crash. */
import type { OutgoingHttpHeaders } from 'node:http';

/** Names of the refusals, for clients that ask for JSON, with their statuses. */
export const REFUSALS = {
  malformed: 400,
  'wrong-host': 403,
  'tls-version': 403,
  expired: 403,
  'unknown-session': 404,
  'unknown-path': 404,
  method: 405,
  timeout: 408,
  'wrong-offset': 409,
  'other-metadata': 409,
  complete: 409,
  superseded: 409,
  'too-large': 413,
  'media-type': 415,
  expectation: 417,
  internal: 500,
  stopping: 503,
  'no-space': 507,
} as const;

export type RefusalCode = keyof typeof REFUSALS;

/** Thrown by whatever handles a request; the message is for the peer and holds nothing of the archive's insides. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  readonly headers: OutgoingHttpHeaders;

  constructor(
    code: RefusalCode,
    message: string,
    options: { headers?: OutgoingHttpHeaders; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return REFUSALS[this.code];
  }
}

/** Errors of the file system that mean: no room. */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** What the peer is told of an error: a refusal as it is, a full disk as 507, anything else as 500. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code !== undefined && NO_ROOM.has(code)) {
    return new Refusal('no-space', 'the archive has no room left, try again later', { cause: error });
  }
  return new Refusal('internal', 'the archive could not store this, see its log', { cause: error });
}

/** The answer's body, one line of text or of JSON, by what Accept prefers. */
export function refusalBody(refusal: Refusal, accept: string | undefined): { type: string; body: string } {
  if (accept !== undefined && /\bapplication\/json\b/.test(accept)) {
    const body = JSON.stringify({ error: refusal.code, message: refusal.message });
    return { type: 'application/json', body: `${body}\n` };
  }
  return { type: 'text/plain; charset=utf-8', body: `${refusal.message}\n` };
}

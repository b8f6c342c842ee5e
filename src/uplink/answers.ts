/** What a receiver's answers mean (src/receiver/PROTOCOL.md). */
import { retryAfter } from './backoff.ts';
import type { Answer } from './exchange.ts';
import { type Scope, UploadFailure } from './failure.ts';

/** Where an upload stands at the receiver. */
export interface Position {
  readonly offset: number;
  readonly complete: boolean;
}

/** @returns null for an answer without a position */
export function position(answer: Answer): Position | null {
  const offset = answer.headers['upload-offset'];
  if (typeof offset !== 'string' || !/^\d{1,15}$/.test(offset)) return null;
  return { offset: Number(offset), complete: answer.headers['upload-complete'] === '?1' };
}

export function isSuccess(answer: Answer): boolean {
  return answer.status >= 200 && answer.status < 300;
}

/** Whether this is how an original receiver answers to a path that it does not know. */
export function isOriginal(answer: Answer): boolean {
  return answer.status === 200 && answer.text === 'This is an example server.';
}

const SCOPES: Readonly<Record<number, Scope>> = {
  400: 'hopeless',
  403: 'hopeless',
  409: 'hopeless',
  413: 'hopeless',
  415: 'hopeless',
  422: 'hopeless',
  // The original's word for a header that it misses.
  499: 'hopeless',
  408: 'session',
  500: 'session',
};

/** The failure that an answer is. Whatever a receiver of ttyspy would not say is the endpoint's fault. */
export function refusal(name: string, answer: Answer): UploadFailure {
  const said = answer.text.slice(0, 200);
  const wait = retryAfter(answer.headers['retry-after'], Date.now());
  const scope = SCOPES[answer.status] ?? 'endpoint';
  const advice = answer.status < 400 || answer.status === 404 ? 'this is no receiver of ttyspy: ' : '';
  return new UploadFailure(scope, `${name}: ${advice}answered ${answer.status} ${said}`.trimEnd(), wait);
}

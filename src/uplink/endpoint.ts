/** One `endpoint` line: a receiver, what kind it is, and whether it may be asked. */
import { Agent } from 'node:https';
import type { SecureContext } from 'node:tls';
import { backoff } from './backoff.ts';

/** Appends that run at once, each on a kept-alive connection that all sessions share. */
export const CONNECTIONS = 4;

/** Failures of any kind in a row after which it is the endpoint that is at fault, not the session. */
const STRIKES = 4;

/** An original receiver takes one request a session and cannot resume; ours takes appends. */
export type Kind = 'unknown' | 'resumable' | 'original';

export class Endpoint {
  /** As in ttyspy.conf. */
  readonly name: string;
  readonly url: URL;
  kind: Kind = 'unknown';
  /** Not to be asked before this time, milliseconds of Date.now(). */
  notBefore = 0;
  /** Times in a row that it was found unusable. */
  failures = 0;
  /** When it was last found unusable. */
  failedAt = 0;
  #strikes = 0;
  #context: SecureContext;
  #agent: Agent | null = null;
  #streams: Agent | null = null;

  /** @param url such as https://archive.example:8090/transcript; ours is beside the original's path, at `sessions` */
  constructor(url: string, context: SecureContext) {
    this.name = url;
    this.url = new URL(url);
    this.#context = context;
  }

  /** The path of the original's interface. */
  get transcriptPath(): string {
    return this.url.pathname.endsWith('/') ? `${this.url.pathname}transcript` : this.url.pathname;
  }

  /** The path that sessions are created at. */
  get sessionsPath(): string {
    return new URL('sessions', this.url).pathname;
  }

  /** Connections for appends: few, kept, shared. */
  get agent(): Agent {
    this.#agent ??= this.#newAgent(true, CONNECTIONS);
    return this.#agent;
  }

  /** Connections to an original receiver: one for each session, as it wants it. */
  get streams(): Agent {
    this.#streams ??= this.#newAgent(false, Number.POSITIVE_INFINITY);
    return this.#streams;
  }

  succeeded(): void {
    this.failures = 0;
    this.#strikes = 0;
  }

  /** A request failed that may be its session's own fault. @returns whether it was one too many for that */
  strike(): boolean {
    return ++this.#strikes >= STRIKES;
  }

  /** It cannot be used. Another receiver may be there when it comes back. @returns milliseconds until it may be asked */
  failed(now: number, wait: number | null): number {
    this.failures++;
    this.failedAt = now;
    this.#strikes = 0;
    this.kind = 'unknown';
    this.notBefore = now + (wait ?? backoff(this.failures, Math.random()));
    return this.notBefore - now;
  }

  /** Uses other certificates for new connections. */
  renew(context: SecureContext): void {
    this.close();
    this.#context = context;
    this.notBefore = 0;
  }

  /** Closes all connections, those in use too. */
  close(): void {
    this.#agent?.destroy();
    this.#streams?.destroy();
    this.#agent = null;
    this.#streams = null;
  }

  #newAgent(keepAlive: boolean, maxSockets: number): Agent {
    return new Agent({
      keepAlive,
      maxSockets,
      maxFreeSockets: maxSockets,
      secureContext: this.#context,
      rejectUnauthorized: true,
    });
  }
}

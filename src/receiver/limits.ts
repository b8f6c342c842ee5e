/** What the receiver allows a peer: sizes in bytes, times in milliseconds. */
import type { ReceiverConf } from '../config/receiver_conf.ts';

export interface ReceiverLimits {
  /** Connections at once; one more is closed as it comes. An original ttyspyd needs one for each session. */
  readonly connections: number;
  /** Time for a TLS handshake, for a request's header, for the metadata of a create request. */
  readonly headerMs: number;
  /** Longest silence between two requests, and within an append. A legacy body may be silent for days. */
  readonly idleMs: number;
  /** How long bytes of a legacy body may wait to be made durable. */
  readonly legacyCommitMs: number;
  /** After this time without a request a session's descriptors are closed. */
  readonly descriptorIdleMs: number;
  /** After this time without a request a session is forgotten; its client creates it again. */
  readonly sessionIdleMs: number;
  /** Sessions whose files are held open at once. */
  readonly openSessions: number;
  /** Time that running requests have to finish after SIGTERM. */
  readonly stopMs: number;
}

export function limitsOf(conf: ReceiverConf): ReceiverLimits {
  return {
    connections: conf.max_connections,
    headerMs: conf.header_timeout,
    idleMs: conf.idle_timeout,
    legacyCommitMs: 1_000,
    descriptorIdleMs: 60_000,
    sessionIdleMs: 3_600_000,
    openSessions: 1_024,
    stopMs: 5_000,
  };
}

/** Largest header of a request, bytes: X-Gecos and X-Ssh-Client are short. */
export const MAX_HEADER = 16_384;

/** Largest rest of a refused body that is read to keep the connection, bytes: twice the largest append of our uplink. */
export const MAX_DRAIN = 16 * 1_048_576;

/** Bytes of all running bodies together that may wait in memory for the disk. */
export const MAX_BUFFERED = 64 * 1_048_576;

/** Bytes that one body may gather in memory, and what MAX_BUFFERED leaves it at least. */
export const BATCH = 1_048_576;
export const SMALLEST_BATCH = 16_384;

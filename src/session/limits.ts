/**
 * Bounds that every party on the way of a byte keeps to: a peer that exceeds one is refused, never trusted.
 */

/** Largest payload of one event, bytes. */
export const MAX_EVENT_PAYLOAD = 65_536;

/** Largest hello a client may send to ttyspyd, bytes. */
export const MAX_HELLO = 65_536;

/**
 * Largest session metadata in the spool and on the wire, bytes: the claims of the largest hello, in which a byte that is
 * not UTF-8 becomes three, and what ttyspyd adds. Whatever a client claims, its session must be one that can be archived.
 */
export const MAX_METADATA = 4 * MAX_HELLO;

/** Longest a hello may take to arrive, and longest a client waits for the answer, milliseconds. */
export const HELLO_TIMEOUT_MS = 5_000;

/** Longest user, host or file name, bytes (NAME_MAX, limits.h). */
export const MAX_NAME = 255;

/**
 * Bounds that every party on the way of a byte keeps to: a peer that exceeds one is refused, never trusted.
 */

/** Largest payload of one event, bytes. */
export const MAX_EVENT_PAYLOAD = 65_536;

/** Largest hello a client may send to ttyspyd, and largest session metadata on the wire, bytes. */
export const MAX_HELLO = 65_536;

/** Longest a hello may take to arrive, and longest a client waits for the answer, milliseconds. */
export const HELLO_TIMEOUT_MS = 5_000;

/** Longest user, host or file name, bytes (NAME_MAX, limits.h). */
export const MAX_NAME = 255;

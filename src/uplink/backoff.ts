/** How long to wait before the next attempt: exponential with full jitter, so that many bastions do not come back at once. */

/** Longest wait, milliseconds. */
export const MAX_WAIT_MS = 60_000;

/** Wait before an attempt at what cannot heal by waiting: somebody has to change something first. */
export const HOPELESS_WAIT_MS = 3_600_000;

const BASE_MS = 250;

/**
 * @param failures how many attempts failed in a row, from 1
 * @param random of [0, 1)
 * @returns milliseconds, anything between 0 and the exponential bound (AWS Architecture Blog, "Exponential Backoff And
 *   Jitter": full jitter does the least work in the least time)
 */
export function backoff(failures: number, random: number): number {
  return Math.floor(random * Math.min(MAX_WAIT_MS, BASE_MS * 2 ** Math.min(failures, 20)));
}

/**
 * Retry-After in seconds or as a date (RFC 9110, 10.2.3), as milliseconds from `now`, at most an hour.
 * @returns null when there is none or it is none
 */
export function retryAfter(value: string | undefined, now: number): number | null {
  if (value === undefined) return null;
  const wait = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), HOPELESS_WAIT_MS);
}

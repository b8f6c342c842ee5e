/** The time of events. */

/** Monotonic microseconds, from an arbitrary start. */
export function monotonic(): number {
  return Math.floor(performance.now() * 1000);
}

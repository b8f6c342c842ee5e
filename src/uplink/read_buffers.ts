/** The buffers that spool files are read through: few, shared by all sessions, used again. */

/** Bytes of each: large enough that TLS is busy with encrypting, small enough to keep two of them at rest. */
const SIZE = 262_144;
/** Kept for the next bulk; more exist only while they are used. */
const AT_REST = 2;

const free: Buffer[] = [];

export function takeBuffer(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(SIZE);
}

/** The buffer must no longer be read from or written to. */
export function giveBuffer(buffer: Buffer): void {
  if (free.length < AT_REST) free.push(buffer);
}

/** What is said when a session cannot be recorded: a line on the terminal, a line in the system's log. */
import { writeSync } from 'node:fs';

/** Exit statuses of sysexits.h. */
export const EX_USAGE = 64;
export const EX_UNAVAILABLE = 69;
export const EX_SOFTWARE = 70;
export const EX_TEMPFAIL = 75;
export const EX_NOPERM = 77;
export const EX_CONFIG = 78;

/** The session cannot be recorded. `status` is what ttyspy exits with where the configuration says closed. */
export class NotRecordable extends Error {
  override readonly name = 'NotRecordable';
  readonly status: number;

  constructor(status: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/**
 * The recorder is there and does not let this user in, for a reason that the user can bring about, such as too many
 * sessions. on_failure open does not help: it would let everybody choose not to be recorded.
 */
export class Refused extends NotRecordable {}

/** One line for the user. */
export function tell(message: string): void {
  try {
    writeSync(2, `ttyspy: ${message}\n`);
  } catch {
    // Nobody listens.
  }
}

/** One line for the admin. Loaded only when something went wrong: a login must not pay for it. */
export async function report(priority: 'err' | 'warning' | 'notice', message: string): Promise<void> {
  try {
    const { syslog } = await import('../os/syslog.ts');
    syslog('ttyspy', priority, message);
  } catch {
    // Without a log the line on the terminal has to do.
  }
}

/** The log of a daemon: pino's JSON, a line an event, for the journal. */
import { writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';

export type Log = Logger;

/** syslog(3) priorities by pino's level, as sd-daemon(3) has them at the beginning of a line. */
const PRIORITY: Readonly<Record<number, string>> = {
  10: '<7>',
  20: '<7>',
  30: '<6>',
  40: '<4>',
  50: '<3>',
  60: '<2>',
};

/**
 * A log to standard error. Where the journal reads it (JOURNAL_STREAM is set) each line begins with its priority and
 * has no time, which the journal adds itself.
 * @param program its name in each line
 */
export function createLog(program: string): Log {
  const journal = process.env['JOURNAL_STREAM'] !== undefined;
  const destination = {
    lastLevel: 30,
    write(line: string): void {
      try {
        writeSync(2, journal ? `${PRIORITY[this.lastLevel] ?? '<6>'}${line}` : line);
      } catch {
        // Standard error is gone or full. Sessions matter more than the log of them.
      }
    },
    [Symbol.for('pino.metadata')]: true,
  };

  return pino(
    { base: { name: program }, timestamp: journal ? false : pino.stdTimeFunctions.isoTime },
    destination,
  );
}

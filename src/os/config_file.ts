/** The configuration files where they lie. */
import { readFileSync } from 'node:fs';
import { ConfigError } from '../config/lexer.ts';
import { parseReceiverConf, type ReceiverConf } from '../config/receiver_conf.ts';
import { parseTtyspyConf, type TtyspyConf } from '../config/ttyspy_conf.ts';

export { ConfigError };

/** Ours, and where the original's packages put it. */
export const TTYSPY_CONF_PATHS: readonly string[] = ['/etc/ttyspy/ttyspy.conf', '/etc/ttyspy.conf'];
export const RECEIVER_CONF_PATHS: readonly string[] = ['/etc/ttyspy/receiver.conf'];

/** Thrown for a file that cannot be read. The message says which, why, and what to do; `cause` is the system's. */
export class ConfigFileError extends Error {
  override readonly name = 'ConfigFileError';
  readonly code: string;
  readonly file: string;

  constructor(file: string, problem: string, cause: NodeJS.ErrnoException) {
    super(`${file}: ${problem}`, { cause });
    this.code = cause.code ?? 'EIO';
    this.file = file;
  }
}

/**
 * @param path of the file; default: the first that is there of {@link TTYSPY_CONF_PATHS}
 * @throws ConfigFileError when there is none or it cannot be read, ConfigError when it is not right. Both mean exit
 *   status 78 (EX_CONFIG), and their messages are for the admin.
 */
export function loadTtyspyConf(path?: string): TtyspyConf {
  const { text, file } = readFirst(path === undefined ? TTYSPY_CONF_PATHS : [path]);
  return parseTtyspyConf(text, file);
}

/** As {@link loadTtyspyConf}, of {@link RECEIVER_CONF_PATHS}. */
export function loadReceiverConf(path?: string): ReceiverConf {
  const { text, file } = readFirst(path === undefined ? RECEIVER_CONF_PATHS : [path]);
  return parseReceiverConf(text, file);
}

function readFirst(files: readonly string[]): { text: string; file: string } {
  let error: ConfigFileError | undefined;
  for (const file of files) {
    try {
      return { text: readFileSync(file, 'utf8'), file };
    } catch (cause) {
      const failure = cause as NodeJS.ErrnoException;
      // Only a file that is not there lets the next one speak: one that must not be read is still the one meant.
      if (failure.code !== 'ENOENT') throw new ConfigFileError(file, whatToDo(failure), failure);
      error ??= new ConfigFileError(
        file,
        `there is no such file; create it, or name another with -c`,
        failure,
      );
    }
  }
  throw error;
}

function whatToDo(failure: NodeJS.ErrnoException): string {
  if (failure.code === 'EACCES')
    return 'not readable by this user; make it mode 0644 (keys belong elsewhere)';
  if (failure.code === 'EISDIR') return 'is a directory, not a file';
  return `cannot be read (${failure.code}); check the path`;
}

/** What ends ttyspyctl with a line to its user and an exit status of sysexits.h, and how system errors become one. */

/** Exit statuses (sysexits.h). */
export const Exit = {
  usage: 64,
  noInput: 66,
  unavailable: 69,
  software: 70,
  cannotCreate: 73,
  temporary: 75,
  noPermission: 77,
  configuration: 78,
} as const;

/** Thrown to end the program. The message says what, where and what to do. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** A command line that is not one. */
export function usageFailure(message: string): Failure {
  return new Failure(Exit.usage, message);
}

const STATUS_OF: Readonly<Record<string, number>> = {
  ENOENT: Exit.noInput,
  ENOTDIR: Exit.noInput,
  EISDIR: Exit.noInput,
  EINVAL: Exit.noInput,
  ELOOP: Exit.noInput,
  EACCES: Exit.noPermission,
  EPERM: Exit.noPermission,
  EROFS: Exit.cannotCreate,
  ENOSPC: Exit.cannotCreate,
  EEXIST: Exit.cannotCreate,
};

const MEANING: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a part of the path is no directory',
  EISDIR: 'is a directory',
  EACCES: 'permission denied; run as a user who may',
  EPERM: 'not permitted; run as a user who may',
  EINVAL: 'is not a regular file',
  ELOOP: 'is a symbolic link',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the file system',
  EEXIST: 'exists already',
};

/** Error of a system call as Failure; any other comes back as it is. */
export function fromSystem(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const known = code !== undefined && (error as NodeJS.ErrnoException).syscall !== undefined;
  if (!known) return error;
  return new Failure(STATUS_OF[code] ?? Exit.unavailable, `${printable(path)}: ${MEANING[code] ?? code}`, {
    cause: error,
  });
}

/** A name from elsewhere, safe on a terminal: control and bidirectional formatting characters become \u{...}. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\\]/gu,
    character => (character === '\\' ? '\\\\' : `\\u{${character.codePointAt(0)?.toString(16)}}`),
  );
}

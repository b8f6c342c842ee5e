/** syslog(3), which on systemd's systems is the journal. */
import { createRequire } from 'node:module';

interface Posix {
  openlog(ident: string, options: object, facility: string): void;
  syslog(priority: string, message: string): void;
}

/** Says one line with the facility authpriv and the process id. Control characters in it are made visible. */
export function syslog(ident: string, priority: 'err' | 'warning' | 'notice', message: string): void {
  const posix = createRequire(import.meta.url)('posix') as Posix;
  posix.openlog(ident, { pid: true }, 'authpriv');
  const line = message.replace(
    /[\u0000-\u001f\u007f]/g,
    c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  posix.syslog(priority, line);
}

/** ttyspy.conf: the bastion's programs share it, each uses what is its own. */
import { byDefault, type Conf, dump, optional, parse, repeated, required } from './directives.ts';
import { duration, either, httpsUrl, integer, name, oneOf, path, size, yesNo } from './values.ts';

export { ConfigError } from './lexer.ts';

const MIB = 1024 ** 2;

/** Every directive of ttyspy.conf. Check, dump and manual are made from this. */
export const TTYSPY_DIRECTIVES = {
  username: required(
    name,
    'The account ttyspyd runs as. ttyspy talks to no socket that is not listened on by this account or root.',
  ),
  socket: required(path, 'The Unix socket on which ttyspyd takes sessions from ttyspy.'),
  endpoint: repeated(
    httpsUrl,
    'The archive: the URL of a receiver. Where there are several lines they are tried in turn. The receiver may be ' +
      'the original.',
  ),
  ca_path: optional(
    path,
    "File of the authorities, PEM, one of which must have signed the receiver's certificate. Without it, the " +
      "system's authorities.",
  ),
  cert_path: optional(
    path,
    'File of the certificate, PEM, with which this host shows itself to the receiver. It must name the host.',
  ),
  key_path: optional(
    path,
    'File of its private key, PEM. Without it, the key is in the file of the certificate.',
  ),
  spool_path: byDefault(
    path,
    '/var/spool/ttyspy',
    'Directory that keeps sessions until the archive has them.',
  ),
  spool_limit: byDefault(
    size,
    1024 * MIB,
    'Most bytes the spool may hold. At the limit sessions wait for the archive.',
  ),
  spool_sync: byDefault(
    either(duration(10, 3_600_000), oneOf('always')),
    1000,
    'How long a byte may be in the spool before it is on the disk (fdatasync): a time, or always, which is before ' +
      'it is shown. It matters for a power cut of the bastion; a crash of ttyspyd loses nothing.',
  ),
  on_failure: byDefault(
    oneOf('closed', 'open'),
    'closed',
    'When a session cannot be recorded: closed refuses the login, open lets it happen unrecorded and says so, on ' +
      'the terminal and in the journal. What users bring about themselves, such as too many sessions, is refused ' +
      'in either case.',
  ),
  record_root: byDefault(yesNo, false, 'Whether sessions of root are recorded.'),
  command_capture: byDefault(
    size,
    4 * MIB,
    'Of a command without a terminal (scp, rsync), how many bytes of each of stdin, stdout and stderr are recorded. ' +
      'The rest is counted and hashed.',
  ),
  max_sessions: byDefault(
    integer(1, 1_000_000),
    4096,
    'Most sessions at a time. A further login is refused.',
  ),
  max_sessions_per_user: byDefault(integer(1, 1_000_000), 64, 'Most sessions of one user at a time.'),
  trusted_user_ca_keys: optional(
    path,
    "File of the SSH authorities' public keys (sshd_config, TrustedUserCAKeys). The certificate of a login is " +
      'recorded when one of them signed it.',
  ),
  hostname: optional(
    name,
    'The name under which the archive knows this host, and that its certificate must have. Without it, the name the ' +
      'kernel has.',
  ),
  shell: optional(
    path,
    'The shell that ttyspy-shell starts as the login shell of a user. A link named ttyspy-shell-NAME says otherwise. ' +
      'Without it, /bin/bash, or /bin/sh where there is none.',
  ),
} as const;

/** Property names are those of the directives; sizes in bytes, times in milliseconds; null where nothing is said. */
export type TtyspyConf = Conf<typeof TTYSPY_DIRECTIVES>;

/**
 * @param text what is in the file
 * @param file its name, for errors
 * @throws ConfigError naming the place of the first error
 */
export function parseTtyspyConf(text: string, file: string): TtyspyConf {
  const conf = parse(TTYSPY_DIRECTIVES, text, file);
  return { ...conf, key_path: conf.key_path ?? conf.cert_path };
}

/** The effective configuration, a line for each value, as a file that parses to the same. */
export function dumpTtyspyConf(conf: TtyspyConf): string {
  return dump(TTYSPY_DIRECTIVES, conf);
}

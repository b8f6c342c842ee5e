/** receiver.conf: the archive host's. */
import { byDefault, type Conf, dump, optional, parse, required } from './directives.ts';
import { duration, integer, listenAddress, path, size, yesNo } from './values.ts';

export { ConfigError } from './lexer.ts';

/** Every directive of receiver.conf. Check, dump and manual are made from this. */
export const RECEIVER_DIRECTIVES = {
  listen: byDefault(
    listenAddress,
    { host: null, port: 8090 },
    'Where to listen: a port (on every address), host:port or [v6]:port. A socket from systemd goes before it.',
  ),
  store: byDefault(path, '/srv/transcripts', 'Directory of the archive.'),
  ca_path: required(
    path,
    "File of the authorities, PEM, one of which must have signed a bastion's certificate.",
  ),
  cert_path: required(
    path,
    "File of the receiver's certificate, PEM. It must name what bastions call it by.",
  ),
  key_path: optional(
    path,
    'File of its private key, PEM. Without it, the key is in the file of the certificate.',
  ),
  crl_path: optional(path, 'File of the list of revoked certificates, PEM. Read again when it changes.'),
  hostname_check: byDefault(
    yesNo,
    true,
    "Whether a bastion may only send sessions of the hosts that its certificate names. With no, any certificate of the authority's may speak for any host.",
  ),
  min_free: byDefault(
    size,
    512 * 1024 ** 2,
    'Bytes that stay free on the file system of the archive. With less, appends are refused (507) and bastions keep ' +
      'their sessions.',
  ),
  max_connections: byDefault(integer(1, 1_000_000), 4096, 'Most connections at a time.'),
  header_timeout: byDefault(
    duration(100, 600_000),
    10_000,
    'How long a handshake, and the header of a request, may take.',
  ),
  idle_timeout: byDefault(
    duration(1000, 86_400_000),
    120_000,
    'How long a connection may be silent, and an append may stall. The POST of an original bastion, which lasts as ' +
      'long as its session, may be silent for longer.',
  ),
} as const;

/** Property names are those of the directives; sizes in bytes, times in milliseconds; null where nothing is said. */
export type ReceiverConf = Omit<Conf<typeof RECEIVER_DIRECTIVES>, 'key_path'> & { readonly key_path: string };

/**
 * @param text what is in the file
 * @param file its name, for errors
 * @throws ConfigError naming the place of the first error
 */
export function parseReceiverConf(text: string, file: string): ReceiverConf {
  const conf = parse(RECEIVER_DIRECTIVES, text, file);
  return { ...conf, key_path: conf.key_path ?? conf.cert_path };
}

/** The effective configuration, a line for each value, as a file that parses to the same. */
export function dumpReceiverConf(conf: ReceiverConf): string {
  return dump(RECEIVER_DIRECTIVES, conf);
}

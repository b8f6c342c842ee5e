/** The command line of ttyspy-uplink. */
import { parseArgs } from 'node:util';

export const USAGE = `usage: ttyspy-uplink [-c FILE] [-n] [-T]
  -c FILE   the configuration (default /etc/ttyspy/ttyspy.conf, then /etc/ttyspy.conf)
  -n        check the configuration and the certificates, and exit
  -T        print the effective configuration, and exit
  --child   end when standard input, a pipe, ends: for ttyspyd, where systemd does not start the uplink
`;

export interface Options {
  readonly file: string | undefined;
  readonly check: boolean;
  readonly dump: boolean;
  readonly child: boolean;
  readonly help: boolean;
}

/** @throws Error with a message for people (exit status 64) */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    allowPositionals: false,
    options: {
      config: { type: 'string', short: 'c' },
      check: { type: 'boolean', short: 'n', default: false },
      dump: { type: 'boolean', short: 'T', default: false },
      child: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return { file: values.config, ...values };
}

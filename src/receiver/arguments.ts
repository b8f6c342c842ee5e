/** The command line: ours, and the flags of the original's session_receiver, in the manner of Go's flag package. */
import { resolve } from 'node:path';
import { quoteWord } from '../config/lexer.ts';
import { parseReceiverConf, type ReceiverConf } from '../config/receiver_conf.ts';
import type { ListenAddress } from '../config/values.ts';

export const USAGE = `usage: ttyspy-receiver [-c FILE] [-n] [-T]
       ttyspy-receiver -ca FILE -cert FILE [-key FILE] [-store DIR] [-port PORT]
  -c FILE   the configuration (default /etc/ttyspy/receiver.conf)
  -n        check the configuration, the certificates and the store, and exit
  -T        print the effective configuration, and exit
  -h        print this, and exit
  The flags of the original's session_receiver go before the configuration; with -ca and -cert, and without -c, there
  is none.
`;

const VALUES = ['c', 'ca', 'cert', 'key', 'store', 'port'] as const;
const SWITCHES = ['n', 'T', 'h', 'help'] as const;

type Value = (typeof VALUES)[number];
type Switch = (typeof SWITCHES)[number];

export interface Arguments {
  readonly values: { readonly [name in Value]?: string };
  readonly switches: ReadonlySet<Switch>;
}

/** Thrown for a command line that is none; the message is for the person who wrote it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError */
export function parseArguments(args: readonly string[]): Arguments {
  const values: { [name in Value]?: string } = {};
  const switches = new Set<Switch>();
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, name = '', given] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if ((SWITCHES as readonly string[]).includes(name) && given === undefined) {
      switches.add(name as Switch);
    } else if ((VALUES as readonly string[]).includes(name)) {
      const value = given ?? rest.shift();
      if (value === undefined || value === '') throw new UsageError(`-${name} needs a value`);
      values[name as Value] = value;
    } else {
      throw new UsageError(`unknown argument ${JSON.stringify(word)}`);
    }
  }
  return { values, switches };
}

/**
 * The configuration that the command line asks for.
 * @param load reads a file, undefined for the usual one; its errors come through
 * @throws UsageError
 */
export function configurationOf(
  { values }: Arguments,
  load: (file: string | undefined) => ReceiverConf,
): ReceiverConf {
  const { c, ca, cert, key, store, port } = values;
  const conf = c === undefined && ca !== undefined && cert !== undefined ? minimal(ca, cert) : load(c);
  const listen = port === undefined ? conf.listen : listenOn(port);
  return {
    ...conf,
    listen,
    ...(ca !== undefined && { ca_path: resolve(ca) }),
    ...(cert !== undefined && { cert_path: resolve(cert), key_path: resolve(cert) }),
    ...(key !== undefined && { key_path: resolve(key) }),
    ...(store !== undefined && { store: resolve(store) }),
  };
}

function minimal(ca: string, cert: string): ReceiverConf {
  const lines = [`ca_path ${quoteWord(resolve(ca))}`, `cert_path ${quoteWord(resolve(cert))}`];
  return parseReceiverConf(`${lines.join('\n')}\n`, 'command line');
}

function listenOn(port: string): ListenAddress {
  const number = /^\d{1,5}$/.test(port) ? Number(port) : Number.NaN;
  if (!(number <= 65_535))
    throw new UsageError(`-port is ${JSON.stringify(port)}, but must be a port to 65535`);
  return { host: null, port: number };
}

/** ttyspyd's command line. */
import { parseArgs } from 'node:util';

export interface Options {
  readonly config: string | undefined;
  /** Check the configuration and exit. */
  readonly check: boolean;
  /** Print the effective configuration and exit. */
  readonly dump: boolean;
}

export const USAGE = 'usage: ttyspyd [-c FILE] [-f] [-n] [-T]';

/** @throws Error for what is no option */
export function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string', short: 'c' },
      // The original's -f kept it in the foreground, where ours always is; root is given up all the same.
      foreground: { type: 'boolean', short: 'f' },
      check: { type: 'boolean', short: 'n' },
      dump: { type: 'boolean', short: 'T' },
    },
  });
  return { config: values.config, check: values.check === true, dump: values.dump === true };
}

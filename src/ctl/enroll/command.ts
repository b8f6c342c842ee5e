/** What enroll and unenroll have in common: their command line, and for whom they may work. */
import { resolve } from 'node:path';
import { parseCommandLine } from '../command_line.ts';
import { Exit, Failure, printable, usageFailure } from '../failure.ts';
import { type Account, Accounts } from './accounts.ts';
import { FormerShells } from './former_shells.ts';
import { Shells } from './shells.ts';

export interface Enrollment {
  readonly users: readonly Account[];
  readonly accounts: Accounts;
  readonly shells: Shells;
  readonly former: FormerShells;
  /** Whether links go into shells(5). */
  readonly listed: boolean;
}

const OPTIONS = {
  'shell-path': { type: 'string' },
  root: { type: 'string', default: '/' },
  force: { type: 'boolean', default: false },
  unlisted: { type: 'boolean', default: false },
} as const;

/** @throws Failure for a command line that is not one, and for users that must not be changed; nothing is changed */
export function parseEnrollment(args: readonly string[]): Enrollment {
  const { values, positionals } = parseCommandLine(args, OPTIONS);
  if (positionals.length === 0) throw usageFailure('which users?');
  if (process.getuid?.() !== 0)
    throw new Failure(Exit.noPermission, 'only root may change login shells; use sudo');
  const root = resolve(values.root);
  const accounts = new Accounts(root);
  const users = accounts.find(positionals);
  const system = users.filter(user => accounts.isSystem(user));
  if (system.length > 0 && !values.force) {
    const names = system.map(user => printable(user.name)).join(', ');
    throw usageFailure(`${names}: root or a system account; no user was changed. With --force it is done`);
  }
  return {
    users,
    accounts,
    shells: new Shells(root, values['shell-path']),
    former: new FormerShells(root),
    listed: !values.unlisted,
  };
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

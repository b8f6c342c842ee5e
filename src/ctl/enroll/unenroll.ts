/** ttyspyctl unenroll: gives users the login shell back that they had. */
import { Exit, Failure, printable } from '../failure.ts';
import type { Account } from './accounts.ts';
import { type Enrollment, parseEnrollment, say } from './command.ts';
import { enrolledAs } from './shells.ts';

export async function run(args: readonly string[]): Promise<void> {
  const enrollment = parseEnrollment(args);
  const { users, accounts, shells, former } = enrollment;
  const before = users.map(user => ({ ...user, back: formerShell(user, enrollment) }));
  for (const { name, shell, back } of before) {
    if (back === null) {
      say(`${printable(name)}: not enrolled (${printable(shell)})`);
      continue;
    }
    accounts.setShell(name, back);
    former.forget(name);
    say(`${printable(name)}: ${printable(shell)} -> ${printable(back || '(no shell)')}`);
  }
  const unused = former.listed.filter(shell => !accounts.isEnrolled(shell));
  shells.unlist(unused);
  former.forgetListed(unused);
}

/**
 * Null for a user who is not enrolled.
 * @throws Failure when it is not known or not there
 */
function formerShell({ name, shell }: Account, { shells, former }: Enrollment): string | null {
  const link = enrolledAs(shell);
  if (link === null) return null;
  const back = former.of(name) ?? shells.byName(link);
  if (back !== null && shells.isThere(back)) return back;
  throw new Failure(
    Exit.configuration,
    `${printable(name)}'s former shell ${back === null ? 'is not known' : `${printable(back)} is not there`}; ` +
      `set one with: usermod -s SHELL ${printable(name)}. No user was changed`,
  );
}

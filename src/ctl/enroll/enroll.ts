/** ttyspyctl enroll: makes ttyspy-shell the login shell, so that nothing of a user's runs before the recording. */
import { basename } from 'node:path';
import { Exit, Failure, printable } from '../failure.ts';
import { parseEnrollment, say } from './command.ts';
import { enrolledAs } from './shells.ts';

/** What stands in passwd for accounts that must not log in. */
const NO_LOGIN = new Set(['nologin', 'false', 'true', 'sync', 'halt', 'shutdown']);

export async function run(args: readonly string[]): Promise<void> {
  const { users, accounts, shells, former, listed } = parseEnrollment(args);
  for (const { name, shell } of users) {
    if (enrolledAs(shell) !== null) continue;
    if (NO_LOGIN.has(basename(shell))) {
      throw new Failure(
        Exit.configuration,
        `${printable(name)} cannot log in (${printable(shell)}), so there is nothing to record; no user was changed`,
      );
    }
    if (!shells.isThere(shell)) {
      throw new Failure(
        Exit.configuration,
        `${printable(name)}'s shell ${printable(shell)} is not there; set another first; no user was changed`,
      );
    }
  }
  // A name that is taken ends it before anything is changed.
  const links = users.map(({ shell }) => (enrolledAs(shell) === null ? shells.linkFor(shell) : shell));
  for (const [i, { name, shell }] of users.entries()) {
    const link = links[i] ?? shell;
    if (link !== shell) shells.establish(shell, link);
    if (listed) shells.list(link);
    former.rememberListed(shells.added.splice(0));
    if (link === shell) {
      say(`${printable(name)}: enrolled already (${printable(shell)})`);
      continue;
    }
    former.remember(name, shell);
    accounts.setShell(name, link);
    say(`${printable(name)}: ${printable(shell || '(no shell)')} -> ${printable(link)}`);
  }
  say('Recorded from the next login on. Keep this session open until a login of theirs has worked.');
  if (listed)
    say('Who knows their password can still chsh to another listed shell; with --unlisted chsh refuses.');
}

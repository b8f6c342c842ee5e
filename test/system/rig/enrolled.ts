/** ttyspy-shell as a login shell, on a machine whose /etc is the test's own (private_etc.ts). */
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs';
import t from 'tap';
import type { Account } from './accounts.ts';
import { find } from './needs.ts';
import { noPrivateEtc } from './private_etc.ts';
import { Rig } from './rig.ts';
import { must } from './run.ts';
import { Terminal } from './terminal.ts';

/** As Rig.start, with the configuration where a login shell looks for it: it takes no -c of its own. */
export async function startEnrollable(lines: readonly string[] = []): Promise<Rig> {
  if (noPrivateEtc !== null) {
    if (process.env['CI']) throw new Error(`test:system ${noPrivateEtc}`);
    t.plan(0, noPrivateEtc);
    process.exit(0);
  }
  const rig = await Rig.start(lines);
  mkdirSync('/etc/ttyspy', { mode: 0o755 });
  copyFileSync(rig.path('ttyspy.conf'), '/etc/ttyspy/ttyspy.conf');
  // Links for enrolled shells go beside ttyspy-shell: not into the checkout.
  mkdirSync(rig.path('bin'));
  symlinkSync(rig.program('native/build/Release/launch'), rig.path('bin/ttyspy-shell'));
  return rig;
}

/** @returns what ttyspyctl said */
export function enroll(rig: Rig, ...users: readonly Account[]): Promise<string> {
  return must([
    rig.program('ctl/ttyspyctl'),
    'enroll',
    '--shell-path',
    rig.path('bin/ttyspy-shell'),
    ...users.map(u => u.name),
  ]);
}

export function unenroll(rig: Rig, ...users: readonly Account[]): Promise<string> {
  return must([
    rig.program('ctl/ttyspyctl'),
    'unenroll',
    '--shell-path',
    rig.path('bin/ttyspy-shell'),
    ...users.map(u => u.name),
  ]);
}

/** root's `su - USER` on a terminal. */
export function su(user: Account): Terminal {
  return new Terminal(['su', '-', user.name]);
}

/** Why nobody can log in on a console here; false when one can. */
export const noConsole: string | false = find('login') ? false : 'needs login(1)';

/** login(1) on a console, after the password. */
export function consoleLogin(user: Account): Terminal {
  return new Terminal(['login', '-f', user.name]);
}

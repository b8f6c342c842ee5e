/** ttyspy-shell as login shell, set by ttyspyctl enroll: every way in is recorded, once. */
import './rig/private_etc.ts';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { PROMPT } from './rig/accounts.ts';
import { enroll, startEnrollable } from './rig/enrolled.ts';

const rig = await startEnrollable();

for (const shell of ['bash', 'zsh']) {
  const user = rig.accounts.add(`/bin/${shell}`);

  t.test(`${shell}: enroll, and log in by ssh`, async t => {
    await enroll(rig, user);
    t.match(readFileSync('/etc/passwd', 'utf8'), `:${rig.path(`bin/ttyspy-shell-${shell}`)}\n`);
    const { session, result } = await rig.archive.one(async () => {
      const terminal = rig.login({ user, port: rig.bare });
      await terminal.until(PROMPT);
      t.match(await terminal.run('echo "[$0]"'), `[-${shell}]`);
      terminal.type('exit 5\r');
      t.equal((await terminal.ended()).status, 5);
      return terminal.shown;
    });
    t.same(session.output, result);
  });
}

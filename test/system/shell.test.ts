/** An interactive shell over ssh: what the user sees and can do, and what the archive has of it. */
import t from 'tap';
import { PROMPT } from './rig/accounts.ts';
import { Rig } from './rig/rig.ts';

const rig = await Rig.start();

for (const shell of ['/bin/bash', '/bin/zsh']) {
  const user = rig.accounts.add(shell);

  t.test(`${shell}: what is shown is what the archive has`, async t => {
    const { session, result } = await rig.archive.one(async () => {
      const terminal = rig.login({ user });
      await terminal.until(PROMPT);
      await terminal.run('echo "on $(tty)"; echo æøå');
      terminal.type('exit 3\r');
      const { status } = await terminal.ended();
      return { status, shown: terminal.shown };
    });
    t.equal(result.status, 3);
    t.same(session.output, result.shown, 'byte for byte');
    t.match(session.output.toString(), /on \/dev\/pts\/\d+/);
    t.match(session.output.toString(), /æøå/);
    t.equal(session.manifest.username, user.name);
    t.same(session.manifest.end.reason, 'exit');
  });
}

/** What a user's own start-up files can do before the recording: nothing, with ttyspy-shell as the login shell. */
import './rig/private_etc.ts';
import t from 'tap';
import { consoleLogin, enroll, startEnrollable, su } from './rig/enrolled.ts';

const rig = await startEnrollable();
const user = rig.accounts.add('/bin/bash');
await enroll(rig, user);

for (const [name, open] of [
  ['su -', su],
  ['console', consoleLogin],
] as const) {
  t.test(`${name}: exec sh in ~/.bash_profile`, async t => {
    rig.accounts.empty(user);
    rig.accounts.write(user, '.bash_profile', 'exec sh\n');
    const { session, result } = await rig.archive.one(async () => {
      const terminal = open(user);
      terminal.type('echo in-$((6*7)); tty; ps -o pid,ppid,pgid,sid,tty,args -e --forest | tail -15\r');
      await terminal.until('in-42\r\n');
      terminal.type('exit\r');
      await terminal.ended();
      return terminal.shown;
    });
    t.comment(result.toString());
    t.comment(JSON.stringify(session.manifest));
    t.same(session.output, result);
  });
}

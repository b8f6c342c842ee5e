/** ssh's exit status with ttyspy is what it is without, and the archive knows it. */
import t from 'tap';
import { Rig } from './rig/rig.ts';

const rig = await Rig.start();
const bash = rig.accounts.add('/bin/bash');
const zsh = rig.accounts.add('/bin/zsh');

/** What a command's end is in the archive: [status, signal]. ssh says 255 for a signal, as for its own errors. */
const ENDINGS: readonly (readonly [command: string, status: number | null, signal: number | null])[] = [
  ['exit 0', 0, null],
  ['exit 1', 1, null],
  ['exit 7', 7, null],
  ['exit 255', 255, null],
  ['true; false', 1, null],
  ['kill -TERM $$', null, 15],
  ['kill -KILL $$', null, 9],
  ['ulimit -c 0; kill -SEGV $$', null, 11],
  ['sh -c "kill -TERM \\$\\$"; exit 3', 3, null],
  ['/no/such/program', 127, null],
  ['/etc/passwd', 126, null],
  ['exec sh -c "exit 9"', 9, null],
];

for (const [user, endings] of [
  [bash, ENDINGS],
  // The same client before another shell: what differs is how it runs commands.
  [zsh, ENDINGS.slice(2, 7)],
] as const) {
  for (const tty of ['-tt', '-T']) {
    t.test(`${user.shell} ${tty === '-tt' ? 'with' : 'without'} a terminal`, async t => {
      for (const [command, status, signal] of endings) {
        const end = (port: number) => rig.login({ user, port, options: [tty] }, [command]).ended();
        const without = await end(rig.bare);
        const { result, session } = await rig.archive.one(() => end(rig.recorded));
        t.same(result, without, `${command}: ${without.status}`);
        t.match(session.manifest.end, { reason: 'exit', status, signal }, `${command} in the archive`);
      }
    });
  }

  t.test(`${user.shell}: an interactive shell`, async t => {
    for (const line of ['exit 42', 'kill -KILL $$', 'exec sh -c "exit 5"']) {
      const end = async (port: number) => {
        const terminal = rig.login({ user, port });
        await terminal.until('ready$ ');
        terminal.type(`${line}\r`);
        return terminal.ended();
      };
      t.same(await end(rig.recorded), await end(rig.bare), line);
    }
  });
}

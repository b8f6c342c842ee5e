/** ttyspy-shell as login shell, set by ttyspyctl enroll: every way in is recorded, once. */
import './rig/private_etc.ts';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readlinkSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PROMPT } from './rig/accounts.ts';
import { sha256 } from './rig/archive.ts';
import { consoleLogin, enroll, noConsole, startEnrollable, su, unenroll } from './rig/enrolled.ts';
import { ENV, must, run } from './rig/run.ts';
import { Terminal } from './rig/terminal.ts';

const rig = await startEnrollable();
const bash = rig.accounts.add('/bin/bash');
const zsh = rig.accounts.add('/bin/zsh');
const users = { bash, zsh };
const files = () => ['/etc/passwd', '/etc/shells'].map(file => readFileSync(file, 'utf8'));
const before = files();

/** An sshd that leaves sftp to the program, which it starts by the login shell. */
const sftp = await rig.sshd('sftp', ['Subsystem sftp /usr/lib/openssh/sftp-server']);
/** An sshd with the ForceCommand that README recommends: no word of a configuration. */
const forced = await rig.sshd('forced', [`ForceCommand exec ${rig.program('client/ttyspy')}`]);

t.test('enroll', async t => {
  const said = await enroll(rig, bash, zsh);
  for (const [shell, user] of Object.entries(users)) {
    const link = rig.path(`bin/ttyspy-shell-${shell}`);
    t.match(readFileSync('/etc/passwd', 'utf8'), `:${user.home}:${link}\n`);
    t.match(readFileSync('/etc/shells', 'utf8'), `\n${link}\n`);
    t.equal(readlinkSync(link), 'ttyspy-shell');
    t.match(said, `${user.name}: /bin/${shell} -> ${link}\n`);
  }
});

/** Works for a moment in a shell that shows its prompt, and leaves with a status. */
async function work(terminal: Terminal, status = 5): Promise<Buffer> {
  await terminal.until(PROMPT);
  await terminal.run('printf "on %s, argv0 [%s], SHELL [%s], æøå\\n" "$(tty)" "$0" "$SHELL"');
  await terminal.run('printf "\\377\\376\\000\\200\\n"');
  terminal.type(`exit ${status}\r`);
  await terminal.ended();
  return terminal.shown;
}

for (const [shell, user] of Object.entries(users)) {
  const login = new RegExp(`on /dev/pts/\\d+, argv0 \\[-${shell}\\], SHELL \\[/bin/${shell}\\], æøå\\r\\n`);

  t.test(`${shell}: ssh with a terminal`, async t => {
    const { session, result } = await rig.archive.one(async () => {
      const terminal = rig.login({ user, port: rig.bare });
      const shown = await work(terminal);
      t.equal((await terminal.ended()).status, 5);
      return shown;
    });
    t.same(session.output, result);
    t.match(result.toString(), login, 'a login shell by its own name');
    t.match(session.manifest, { username: user.name, mode: 'tty', end: { reason: 'exit', status: 5 } });
    t.match(session.manifest.kernel, { parent_comm: 'sshd', shell: rig.path(`bin/ttyspy-shell-${shell}`) });
    t.equal(session.manifest.claims.tty_shared, undefined, 'the terminal was taken from everybody else');
  });

  t.test(`${shell}: a command by ssh, with and without a terminal`, async t => {
    const command = 'echo "argv0 [$0], $#"; printf "\\377\\n"; echo odd >&2; exit 7';
    const { session, result } = await rig.archive.one(() => rig.ssh({ user, port: rig.bare }, command));
    t.equal(result.status, 7);
    t.match(result.stdout.toString('latin1'), `argv0 [${shell}], 0\n\xff\n`);
    t.equal(result.stderr.toString(), 'odd\n');
    t.equal(session.output.length, result.stdout.length + result.stderr.length);
    t.ok(session.output.includes(Buffer.from('odd\n')));
    t.match(session.manifest, { mode: 'command', end: { status: 7 } });
    const onTerminal = await rig.archive.one(async () => {
      const terminal = rig.login({ user, port: rig.bare }, [command]);
      t.equal((await terminal.ended()).status, 7);
      return terminal.shown;
    });
    t.same(onTerminal.session.output, onTerminal.result);
    t.match(onTerminal.session.manifest, { mode: 'tty', end: { status: 7 } });
  });

  t.test(`${shell}: ssh host ${shell} -s`, async t => {
    const script = 'echo "one $1"\ncat <<END\ntwo\nEND\nexit 6\n';
    const { session, result } = await rig.archive.one(() =>
      rig.ssh({ user, port: rig.bare }, `${shell} -s word`, script),
    );
    t.equal(result.status, 6);
    t.equal(result.stdout.toString(), 'one word\ntwo\n');
    t.same(session.output, result.stdout);
    t.equal(session.input.toString(), script);
  });

  t.test(`${shell}: ssh host without a command or a terminal`, async t => {
    const { session, result } = await rig.archive.one(() =>
      run(rig.sshCommand({ user, port: rig.bare, options: ['-T'] }), { input: 'echo "from $0"; exit 5\n' }),
    );
    t.equal(result.status, 5);
    t.equal(result.stdout.toString(), `from -${shell}\n`);
    t.same(session.output, result.stdout);
  });

  t.test(`${shell}: su - on a terminal, which is afterwards as before`, async t => {
    const terminal = new Terminal(['bash', '--norc', '-i'], { env: { ...ENV, PS1: 'outside> ' } });
    t.teardown(() => terminal.close());
    await terminal.until('outside> ');
    const state = async () => {
      terminal.type('stty -a; true < $(tty) && echo opens\r');
      return terminal.until('outside> ');
    };
    const stateBefore = await state();
    const { session } = await rig.archive.one(async () => {
      terminal.type(`su - ${user.name}; echo status $?\r`);
      await terminal.until(PROMPT);
      await terminal.run('printf "on %s, argv0 [%s], SHELL [%s], æøå\\n" "$(tty)" "$0" "$SHELL"');
      terminal.type('exit 5\r');
      await terminal.until('status 5\r\n');
    });
    await terminal.until('outside> ');
    t.match(session.output.toString(), login);
    t.ok(terminal.shown.includes(session.output), 'what was shown in between is what the archive has');
    t.match(session.manifest, { mode: 'tty', username: user.name, end: { reason: 'exit', status: 5 } });
    t.match(session.manifest.kernel, { parent_comm: 'su', uid: user.uid });
    t.equal(session.manifest.claims.tty_shared, true, 'su still has the terminal');
    t.equal(await state(), stateBefore);
    t.match(stateBefore, 'opens');
    terminal.type('exit\r');
    await terminal.ended();
  });

  t.test(`${shell}: su - with a terminal of its own making`, async t => {
    const { session, result } = await rig.archive.one(() =>
      work(new Terminal(['su', '--pty', '-', user.name])),
    );
    t.same(session.output, result);
    t.match(result.toString(), login);
  });

  t.test(`${shell}: su -c`, async t => {
    const command = 'echo "argv0 [$0]"; exit 4';
    const onTerminal = await rig.archive.one(async () => {
      const terminal = new Terminal(['su', user.name, '-c', command]);
      t.equal((await terminal.ended()).status, 4);
      return terminal.shown;
    });
    t.equal(onTerminal.result.toString(), `argv0 [${shell}]\r\n`);
    t.same(onTerminal.session.output, onTerminal.result);
    const onPipes = await rig.archive.one(() =>
      run(['su', user.name, '-c', `cat; ${command}`], { input: 'in\n' }),
    );
    t.equal(onPipes.result.status, 4);
    t.equal(onPipes.result.stdout.toString(), `in\nargv0 [${shell}]\n`);
    t.same(onPipes.session.output, onPipes.result.stdout);
    t.equal(onPipes.session.input.toString(), 'in\n');
  });

  t.test(`${shell}: a login on the console`, { skip: noConsole }, async t => {
    const { session, result } = await rig.archive.one(() => work(consoleLogin(user)));
    t.same(session.output, result);
    t.match(result.toString(), login);
    t.match(session.manifest.kernel, { parent_comm: 'login', uid: user.uid });
    t.match(session.manifest.end, { reason: 'exit', status: 5 });
  });

  t.test(`${shell}: ForceCommand and login shell together record once`, async t => {
    const { session, result } = await rig.archive.one(() => work(rig.login({ user, port: forced })));
    t.same(session.output, result);
    t.match(result.toString(), login);
    const command = await rig.archive.one(() =>
      rig.ssh({ user, port: forced }, 'echo "[$0] [$TTYSPY_SESSION]"; exit 9'),
    );
    t.equal(command.result.status, 9);
    t.equal(command.result.stdout.toString(), `[${shell}] [${command.session.id}]\n`);
    t.same(command.session.output, command.result.stdout);
  });

  t.test(`${shell}: scp, sftp and rsync`, async t => {
    const data = randomBytes(1_000_000);
    const file = rig.accounts.write(user, 'data', data);
    const back = rig.path(`back-${shell}`);
    const host = `${user.name}@127.0.0.1`;
    for (const [name, argv] of Object.entries({
      'scp -O': ['scp', '-O', ...rig.sshOptions({ port: rig.bare }, '-P'), `${host}:data`, back],
      'scp, sftp-server': ['scp', ...rig.sshOptions({ port: sftp }, '-P'), `${host}:data`, back],
      'scp, ForceCommand': ['scp', ...rig.sshOptions({ port: forced }, '-P'), `${host}:data`, back],
      'scp -O to it': ['scp', '-O', ...rig.sshOptions({ port: rig.bare }, '-P'), back, `${host}:sent`],
      rsync: [
        'rsync',
        '-I',
        '-e',
        `ssh ${rig.sshOptions({ port: rig.bare }).join(' ')}`,
        `${host}:data`,
        back,
      ],
    })) {
      const { session } = await rig.archive.one(() => must(argv));
      t.equal(sha256(readFileSync(back)), sha256(data), name);
      t.match(session.manifest, { mode: 'command', end: { reason: 'exit', status: 0 } }, name);
    }
    t.equal(sha256(readFileSync(join(user.home, 'sent'))), sha256(readFileSync(file)));
  });
}

t.test('internal-sftp alone needs no shell, so no login shell records it', async t => {
  const back = rig.path('internal');
  const argv = [
    'scp',
    '-s',
    ...rig.sshOptions({ port: rig.bare }, '-P'),
    `${bash.name}@127.0.0.1:data`,
    back,
  ];
  await rig.archive.recorded(0, () => must(argv));
  t.ok(existsSync(back), 'which is why a bastion has the ForceCommand too, or Subsystem sftp-server');
});

t.test('a user goes on by su as another: both sessions are recorded', async t => {
  await must(['chpasswd'], { input: `${zsh.name}:another-secret\n` });
  const { sessions, result } = await rig.archive.recorded(2, async () => {
    const terminal = rig.login({ user: bash, port: rig.bare });
    await terminal.until(PROMPT);
    terminal.type(`su - ${zsh.name}\r`);
    await terminal.until('assword: ');
    terminal.type('another-secret\r');
    await terminal.until(PROMPT);
    await terminal.run('id -un');
    terminal.type('exit 3\r');
    await terminal.until(PROMPT);
    await terminal.run('echo back with $?');
    terminal.type('exit\r');
    await terminal.ended();
    return terminal.shown;
  });
  const [outer, inner] = sessions;
  t.match([outer?.manifest.username, inner?.manifest.username], [bash.name, zsh.name]);
  t.same(outer?.output, result);
  t.match(inner?.output.toString(), `${zsh.name}\r\n`);
  t.ok(result.includes(inner?.output ?? 'nothing'));
  t.match(result.toString(), 'back with 3\r\n');
  t.notOk(result.includes('another-secret'));
});

t.test("a terminal that su lent before is nobody's to hand over", async t => {
  await rig.archive.recorded(0, async () => {
    const logged = rig.log('ttyspyd').length;
    const terminal = new Terminal(['bash', '--norc', '-i'], { env: { ...ENV, PS1: 'outside> ' } });
    t.teardown(() => terminal.close());
    await terminal.until('outside> ');
    // sh gives what it leaves in the background no stdin, unless told.
    const later = `setsid sh -c "sleep 1; exec ${rig.client('ttyspy.conf')}" <&2 & echo left it`;
    terminal.type(`su ${bash.name} -s /bin/sh -c '${later}'\r`);
    await terminal.until('left it\r\n');
    await terminal.until('the outer terminal is not yours');
    t.match(rig.log('ttyspyd').slice(logged), '"session refused"');
    terminal.type('exit\r');
    await terminal.ended();
  });
});

t.test('what the login shell is told by the environment or the user changes nothing', async t => {
  const set = ['TTYSPY_SESSION=aaaaaaaaaaaaaaaa', 'TTYSPY_CALLED=ttyspy', 'TTYSPY_LAUNCH=0:0:0'];
  const options = ['-o', `SetEnv=${set.join(' ')}`];
  const { session, result } = await rig.archive.one(() =>
    rig.ssh({ user: bash, port: rig.bare, options }, 'echo $TTYSPY_SESSION'),
  );
  t.equal(result.stdout.toString(), `${session.id}\n`);
  const conf = rig.accounts.write(
    bash,
    'own.conf',
    'username nobody\nsocket /nonexistent\non_failure open\n',
  );
  const own = `exec ${rig.client('ttyspy.conf').split(' ')[0]} -c ${conf}`;
  // A command like any other: recorded, and then ttyspy by hand as the user wishes.
  const { sessions } = await rig.archive.recorded(1, () => rig.ssh({ user: bash, port: rig.bare }, own));
  t.match(sessions[0]?.manifest.claims.argv, ['bash', '-c', own]);
});

t.test('without a configuration nobody gets in; the original path counts', async t => {
  renameSync('/etc/ttyspy/ttyspy.conf', '/etc/ttyspy.conf');
  const { session, result } = await rig.archive.one(() => rig.ssh({ user: bash, port: rig.bare }, 'echo in'));
  t.equal(result.stdout.toString(), 'in\n');
  t.same(session.output, result.stdout);
  renameSync('/etc/ttyspy.conf', '/etc/ttyspy.away');
  try {
    await rig.archive.recorded(0, async () => {
      const { status, stdout, stderr } = await rig.ssh({ user: bash, port: rig.bare }, 'echo in');
      t.equal(status, 78);
      t.equal(stdout.length, 0);
      t.match(stderr.toString(), /^ttyspy: \/etc\/ttyspy\/ttyspy\.conf: there is no such file/);
      const terminal = noConsole ? su(bash) : consoleLogin(bash);
      await terminal.ended();
      t.match(terminal.shown.toString(), /ttyspy: \/etc\/ttyspy\/ttyspy\.conf: there is no such file/);
    });
  } finally {
    renameSync('/etc/ttyspy.away', '/etc/ttyspy/ttyspy.conf');
  }
});

t.test('unenroll: everybody has what they had', async t => {
  await unenroll(rig, bash, zsh);
  // chpasswd changed shadow only.
  t.equal(files()[0], before[0], '/etc/passwd');
  t.equal(files()[1], before[1], '/etc/shells');
  await rig.archive.recorded(0, async () => {
    t.match((await work(rig.login({ user: bash, port: rig.bare }))).toString(), /argv0 \[-bash\]/);
  });
  await rig.archive.one(() => work(rig.login({ user: bash })));
});

t.test('the /etc of the machine was never touched', async t => {
  const theirs = `/proc/${process.ppid}/root/etc`;
  t.not(readlinkSync('/proc/self/ns/mnt'), readlinkSync(`/proc/${process.ppid}/ns/mnt`));
  t.notMatch(readFileSync(`${theirs}/passwd`, 'utf8'), bash.name);
  t.notMatch(readFileSync(`${theirs}/shells`, 'utf8'), rig.directory);
});

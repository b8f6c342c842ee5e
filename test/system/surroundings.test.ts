/** What the shell finds around itself is what sshd gave: descriptors, signals, limits, environment, byte for byte. */
import { chmodSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { PROMPT } from './rig/accounts.ts';
import { Rig } from './rig/rig.ts';
import { must, run } from './rig/run.ts';

const rig = await Rig.start();
const user = rig.accounts.add('/bin/bash');

/** The environment, NUL between variables, in lines of hexadecimal: no terminal changes it. */
const ENVIRONMENT = 'env -0 | tr "\\000" "\\n" | od -An -v -tx1';

function variables(hexadecimal: string): Map<string, string> {
  const bytes = Buffer.from(hexadecimal.replace(/[^0-9a-f]/g, ''), 'hex').toString('latin1');
  const lines = bytes.split('\n').filter(line => line.includes('='));
  return new Map(lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

/** What a command prints without ttyspy, with it as ForceCommand, and with a ForceCommand that only runs the command. */
async function compare(command: string, tty: '-tt' | '-T', ports: readonly number[], options: string[] = []) {
  const outputs: string[] = [];
  for (const port of ports) {
    const terminal = rig.login({ user, port, options: [tty, ...options] }, [command]);
    await terminal.ended();
    outputs.push(terminal.shown.toString('latin1').replaceAll('\r', ''));
  }
  return outputs as [string, string];
}

t.test('descriptors: 0, 1 and 2, and nothing else', async t => {
  // ls itself opens the directory.
  const listing = 'cd /proc/self/fd; echo *';
  for (const tty of ['-tt', '-T'] as const) {
    const [bare, recorded] = await compare(listing, tty, [rig.bare, rig.recorded]);
    t.equal(recorded, bare, tty);
    t.match(recorded, /^0 1 2 \d+\n$/, 'the last one is of the expansion itself');
  }
});

t.test('a command finds pipes or sockets as sshd would have given', async t => {
  const kinds = 'for fd in 0 1 2; do stat -L -c %F /proc/self/fd/$fd; done; echo again > /dev/stdout';
  const outcome = async (port: number) => {
    const { stdout, stderr, status } = await rig.ssh({ user, port }, kinds);
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  };
  t.same(await outcome(rig.recorded), await outcome(rig.bare));
});

t.test('signals, limits, umask, directory, priority: as sshd started them', async t => {
  const program = rig.accounts.write(
    user,
    'state.sh',
    'grep -E "^(Sig(Q|Pnd|Blk|Ign|Cgt)|ShdPnd|Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Umask)" /proc/self/status | ' +
      'grep -v SigQ\nulimit -a\nulimit -Ha\nulimit -n\numask\npwd\nnice\ncat /proc/self/oom_score_adj\n',
  );
  // Started with signals ignored and limits lowered, the way a service manager or an admin may.
  const before = 'trap "" USR2 TTOU HUP PIPE; ulimit -Sn 777; ulimit -Sc 0; umask 027';
  const force = `ForceCommand exec ${rig.client('ttyspy.conf')}`;
  const ports = [
    [rig.bare, rig.recorded],
    [await rig.sshd('odd-bare', [], before), await rig.sshd('odd-recorded', [force], before)],
  ];
  for (const pair of ports) {
    for (const tty of ['-tt', '-T'] as const) {
      const [bare, recorded] = await compare(`exec bash ${program}`, tty, pair);
      t.match(bare, /SigIgn/);
      t.equal(recorded, bare, tty);
    }
  }
});

t.test('a login shell knows that it is one', async t => {
  for (const shell of ['bash', 'zsh']) {
    const account = shell === 'bash' ? user : rig.accounts.add('/bin/zsh');
    const terminal = rig.login({ user: account });
    await terminal.until(PROMPT);
    t.match(await terminal.run('echo "[$0]"'), new RegExp(`\\[-${shell}\\]`));
    t.match(
      await terminal.run(`tr '\\0' '|' < /proc/$$/cmdline; echo`),
      new RegExp(`[\\r\\n]-${shell}\\|\\r`),
    );
    t.match(
      await terminal.run(shell === 'bash' ? 'shopt login_shell' : '[[ -o login ]] && echo login_shell on'),
      /login_shell\s+on/,
    );
    t.match(await terminal.run('echo "[$SHELL]"'), new RegExp(`\\[/bin/${shell}\\]`));
    terminal.type('exit\r');
    await terminal.ended();
  }
});

t.test('environment: as sshd gave it but for the terminal and the session', async t => {
  // A ForceCommand that only runs the command: sshd then says SSH_ORIGINAL_COMMAND there, too.
  const forced = await rig.sshd('forced', ['ForceCommand exec bash -c "$SSH_ORIGINAL_COMMAND"']);
  for (const tty of ['-tt', '-T'] as const) {
    const [before, after] = (await compare(ENVIRONMENT, tty, [forced, rig.recorded])).map(variables) as [
      Map<string, string>,
      Map<string, string>,
    ];
    t.match(after.get('TTYSPY_SESSION'), /^[a-z2-7]{16}$/);
    if (tty === '-tt') {
      t.match(after.get('SSH_TTY'), /^\/dev\/pts\/\d+$/);
      t.equal(after.get('GPG_TTY'), after.get('SSH_TTY'));
    }
    // Ports and terminals are of the login.
    for (const name of ['TTYSPY_SESSION', 'SSH_TTY', 'GPG_TTY', 'SSH_CLIENT', 'SSH_CONNECTION']) {
      before.delete(name);
      after.delete(name);
    }
    t.same(Object.fromEntries(after), Object.fromEntries(before), tty);
  }
});

t.test('SSH_TTY is the terminal that the shell is on', async t => {
  const { result, session } = await rig.archive.one(async () => {
    const terminal = rig.login({ user }, ['echo "[$(tty)] [$SSH_TTY] [$TTYSPY_SESSION]"']);
    await terminal.ended();
    return terminal.shown.toString();
  });
  const [, tty, variable, id] = /\[(.*)\] \[(.*)\] \[(.*)\]/.exec(result) ?? [];
  t.equal(variable, tty);
  t.equal(id, session.id);
  t.not(session.manifest.kernel?.tty, tty, 'the archive names the outer terminal');
  t.equal(session.manifest.claims.ssh_tty, session.manifest.kernel?.tty);
});

/** Runs ssh from a script, since only a file can hold bytes that are not UTF-8. */
async function sshBytes(options: Buffer, command: Buffer) {
  const ssh = rig.sshCommand({ user, options: ['-T'] }).join(' ');
  const script = rig.path('bytes.sh');
  const at = ssh.lastIndexOf(' ');
  writeFileSync(
    script,
    Buffer.concat([
      Buffer.from(`exec ${ssh.slice(0, at)} `),
      options,
      Buffer.from(`${ssh.slice(at)} '`),
      command,
      Buffer.from("'\n"),
    ]),
  );
  chmodSync(script, 0o700);
  return run(['bash', script]);
}

t.test('bytes that are not UTF-8 pass: in the command, and in variables', async t => {
  const odd = Buffer.from([0xff, 0xfe, 0x80, 0xc3, 0x28, 0xe6, 0xf8, 0xe5]);
  const options = Buffer.concat([Buffer.from("-o SetEnv='LC_ODD="), odd, Buffer.from("'")]);
  const command = Buffer.concat([
    Buffer.from('printf "%s\\n" "'),
    odd,
    Buffer.from('" "$LC_ODD" "$SSH_ORIGINAL_COMMAND"'),
  ]);
  const { result, session } = await rig.archive.one(() => sshBytes(options, command));
  const [first, second, third] = result.stdout.toString('latin1').split('\n');
  t.equal(first, odd.toString('latin1'));
  t.equal(second, odd.toString('latin1'));
  t.equal(third, command.toString('latin1'));
  t.same(session.output, result.stdout);
  t.match(session.manifest.claims.ssh_original_command, /^printf/);
});

t.test('what node would obey does not reach node, but the shell', async t => {
  const evil = rig.accounts.write(
    user,
    'evil.cjs',
    'require("fs").writeSync(2, "EVIL\\n"); process.exit(0)\n',
  );
  const set = {
    NODE_OPTIONS: `--require=${evil}`,
    NODE_EXTRA_CA_CERTS: '/nonexistent',
    NODE_V8_COVERAGE: '/tmp/coverage',
    TTYSPY_SESSION: 'aaaaaaaaaaaaaaaa',
    TTYSPY_LAUNCH: 'ffffffff:ffffffff:7',
    TTYSPY_ENV_LD_PRELOAD: '/nonexistent',
    TTYSPY_CALLED: 'ttyspy-shell',
    TEST_PLAIN: 'a b  c\td',
  };
  const options = [
    '-o',
    `SetEnv=${Object.entries(set)
      .map(([name, value]) => `"${name}=${value}"`)
      .join(' ')}`,
  ];
  for (const tty of ['-tt', '-T'] as const) {
    const { result, session } = await rig.archive.one(async () => {
      const terminal = rig.login({ user, options: [tty, ...options] }, [ENVIRONMENT]);
      await terminal.ended();
      return terminal.shown.toString();
    });
    t.notMatch(result, /EVIL/);
    const found = variables(result);
    t.equal(found.get('NODE_OPTIONS'), set.NODE_OPTIONS);
    t.equal(found.get('NODE_EXTRA_CA_CERTS'), set.NODE_EXTRA_CA_CERTS);
    t.equal(found.get('NODE_V8_COVERAGE'), set.NODE_V8_COVERAGE);
    t.equal(found.get('TEST_PLAIN'), set.TEST_PLAIN);
    t.equal(found.get('TTYSPY_SESSION'), session.id, 'recorded, whatever was there');
    t.equal(found.get('LD_PRELOAD'), undefined);
  }
});

t.test('filter arguments: the program becomes the session, with its own options', async t => {
  const filter = rig.accounts.write(
    user,
    'filter',
    '#!/bin/sh\necho "filter: $# [$1] [$2] [$SSH_ORIGINAL_COMMAND] $SHELL"\nexec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"\n',
  );
  chmodSync(filter, 0o755);
  const port = await rig.sshd('filter', [
    `ForceCommand exec ${rig.client('ttyspy.conf')} ${filter} -c --no-such-option`,
  ]);
  const { result, session } = await rig.archive.one(() => rig.ssh({ user, port }, 'echo done; exit 4'));
  t.equal(
    result.stdout.toString(),
    'filter: 2 [-c] [--no-such-option] [echo done; exit 4] /bin/bash\ndone\n',
  );
  t.equal(result.status, 4);
  t.same(session.output, result.stdout);
});

t.test('root is not recorded, unless record_root says so', async t => {
  const root = { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/bash' };
  await rig.archive.recorded(0, async () => {
    const { stdout, status } = await rig.ssh({ user: root }, 'echo "[$TTYSPY_SESSION]"; exit 3');
    t.equal(stdout.toString(), '[]\n');
    t.equal(status, 3);
  });
  rig.configure('root.conf', ['record_root yes']);
  const port = await rig.sshd('root', [`ForceCommand exec ${rig.client('root.conf')}`]);
  const { session } = await rig.archive.one(() => rig.ssh({ user: root, port }, 'echo "[$TTYSPY_SESSION]"'));
  t.equal(session.output.toString(), `[${session.id}]\n`);
  t.equal(session.manifest.username, 'root');
  t.equal(await must(['cat', session.file]).then(text => /^Username: (.*)$/m.exec(text)?.[1]), 'root');
});

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';

const CTL = join(import.meta.dirname, '../src/ctl/ttyspyctl');

const PASSWD = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
alice:x:1001:1001:Alice,,,:/home/alice:/usr/bin/zsh
bob:x:1002:1002::/home/bob:/bin/bash
carol:x:1003:1003::/home/carol:
dave:x:1004:1004::/home/dave:/opt/fish/bin/fish
erin:x:1005:1005::/home/erin:/usr/sbin/nologin
frank:x:1006:1006::/home/frank:/bin/gone
grace:x:1007:1007::/home/grace:/opt/other/zsh
nobody:x:65534:65534:nobody:/nonexistent:/bin/bash
`;
const SHELLS = '# /etc/shells: valid login shells\n/bin/sh\n/bin/bash\n/bin/zsh\n';

/** A root directory with accounts and shells, for ttyspyctl and the real usermod to work on. */
class System {
  readonly root = mkdtempSync(join(tmpdir(), 'ttyspy-enroll-'));

  constructor() {
    chmodSync(this.root, 0o755);
    this.write('etc/passwd', PASSWD);
    this.write('etc/group', '');
    this.write('etc/shells', SHELLS);
    for (const program of ['ttyspy-shell', 'sh', 'bash', 'zsh']) this.write(`usr/bin/${program}`, '', 0o755);
    this.write('opt/fish/bin/fish', '', 0o755);
    this.write('opt/other/zsh', '', 0o755);
    // As where /usr is merged.
    symlinkSync('usr/bin', join(this.root, 'bin'));
  }

  write(file: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(join(this.root, file)), { recursive: true });
    writeFileSync(join(this.root, file), text, { mode });
  }

  read(file: string): string {
    return readFileSync(join(this.root, file), 'utf8');
  }

  shell(user: string): string | undefined {
    return new RegExp(`^${user}:.*:(.*)$`, 'm').exec(this.read('etc/passwd'))?.[1];
  }

  ctl(command: string, ...args: string[]) {
    return spawnSync(CTL, [command, '--root', this.root, ...args], { encoding: 'utf8' });
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}

const skip = process.getuid?.() === 0 ? false : 'usermod needs root';

t.test('enroll and unenroll', { skip }, async t => {
  const system = new System();
  t.teardown(() => system.remove());
  const enroll = system.ctl('enroll', 'alice', 'bob', 'carol', 'dave');
  t.match(enroll, {
    status: 0,
    stderr: /^$/,
    stdout: /^alice: \/usr\/bin\/zsh -> \/usr\/bin\/ttyspy-shell-zsh\n/,
  });
  for (const [user, name] of [
    ['alice', 'zsh'],
    ['bob', 'bash'],
    ['carol', 'sh'],
    ['dave', 'fish'],
  ] as const) {
    t.equal(system.shell(user), `/usr/bin/ttyspy-shell-${name}`);
    t.equal(readlinkSync(join(system.root, `usr/bin/ttyspy-shell-${name}`)), 'ttyspy-shell');
  }
  const added = ['zsh', 'bash', 'sh'].map(name => `/usr/bin/ttyspy-shell-${name}\n`).join('');
  t.equal(
    system.read('etc/shells'),
    `${SHELLS}${added}/opt/fish/bin/fish\n/usr/bin/ttyspy-shell-fish\n`,
    'links, and the shell that its name must find there',
  );
  t.equal(statSync(join(system.root, 'etc/shells')).mode & 0o777, 0o644);

  const enrolled = ['etc/passwd', 'etc/shells', 'etc/ttyspy/enrolled'].map(file => system.read(file));
  t.match(system.ctl('enroll', 'alice', 'bob'), { status: 0, stdout: /^alice: enrolled already/ });
  t.same(
    ['etc/passwd', 'etc/shells', 'etc/ttyspy/enrolled'].map(file => system.read(file)),
    enrolled,
    'twice is once',
  );

  t.equal(system.ctl('unenroll', 'dave').status, 0);
  t.equal(system.read('etc/shells'), `${SHELLS}${added}`, 'without what nobody has any more');
  t.match(system.ctl('unenroll', 'alice', 'bob', 'carol'), { status: 0, stderr: /^$/ });
  t.equal(system.read('etc/passwd'), PASSWD, 'as it was, to the byte');
  t.equal(system.read('etc/shells'), SHELLS, 'likewise');
  t.match(system.ctl('unenroll', 'alice'), { status: 0, stdout: 'alice: not enrolled (/usr/bin/zsh)\n' });
  t.equal(system.read('etc/passwd'), PASSWD);
});

t.test('nobody is changed where one of them cannot be', { skip }, async t => {
  const system = new System();
  t.teardown(() => system.remove());
  for (const [args, status, message] of [
    [
      ['alice', 'nosuch', 'nor\u001bthis'],
      66,
      /not in .*etc\/passwd: nosuch, nor\\u\{1b\}this; no user was changed/,
    ],
    [['alice', 'root'], 64, /root: root or a system account; no user was changed/],
    [['alice', 'daemon'], 64, /daemon: root or a system account/],
    [['alice', 'nobody'], 64, /nobody: root or a system account/],
    [['alice', 'erin'], 78, /erin cannot log in \(\/usr\/sbin\/nologin\)/],
    [['alice', 'daemon', '--force'], 78, /daemon cannot log in/],
    [['alice', 'frank'], 78, /frank's shell \/bin\/gone is not there/],
    [['alice', 'grace'], 78, /\/opt\/other\/zsh and \/bin\/zsh are both called zsh/],
    [[], 64, /which users/],
    [['alice', '--shell-path', '/usr/bin/none/ttyspy-shell'], 66, /is not there or is no program/],
    [['alice', '--shell-path', '/usr/bin/bash'], 64, /must be an absolute path that ends in/],
    [['alice', '-x'], 64, /Unknown option '-x'/],
  ] as const) {
    t.match(system.ctl('enroll', ...args), { status, stderr: message, stdout: /^$/ }, args.join(' '));
    t.equal(system.read('etc/passwd'), PASSWD);
  }
  system.write('private/ttyspy-shell', '', 0o755);
  chmodSync(join(system.root, 'private'), 0o700);
  t.match(
    system.ctl('enroll', 'alice', '--shell-path', '/private/ttyspy-shell'),
    { status: 77, stderr: /private is closed to others \(chmod o\+x\)/ },
    'who cannot run it could not log in',
  );
  system.write('usr/bin/ttyspy-shell-zsh', 'something else', 0o755);
  t.match(system.ctl('enroll', 'alice'), { status: 73, stderr: /is not a link to ttyspy-shell/ });
  t.equal(system.read('etc/passwd'), PASSWD);
});

t.test('unlisted, forced, and with less to go by', { skip }, async t => {
  const system = new System();
  t.teardown(() => system.remove());
  t.equal(system.ctl('enroll', '--unlisted', 'alice').status, 0);
  t.equal(system.read('etc/shells'), SHELLS, 'chsh refuses who has a shell that is not listed');
  t.equal(system.ctl('enroll', '--force', 'root').status, 0);
  t.equal(system.shell('root'), '/usr/bin/ttyspy-shell-bash');

  rmSync(join(system.root, 'etc/ttyspy'), { recursive: true });
  t.equal(system.ctl('unenroll', '--force', 'alice', 'root').status, 0);
  t.equal(system.shell('alice'), '/bin/zsh', 'by the name in the link');
  t.equal(system.shell('root'), '/bin/bash');

  t.equal(system.ctl('enroll', 'dave', 'bob').status, 0);
  rmSync(join(system.root, 'opt/fish'), { recursive: true });
  const before = system.read('etc/passwd');
  t.match(system.ctl('unenroll', 'bob', 'dave'), {
    status: 78,
    stderr: /dave's former shell \/opt\/fish\/bin\/fish is not there/,
  });
  t.equal(system.read('etc/passwd'), before);
});

t.test('no shells(5) at all', { skip }, async t => {
  const system = new System();
  t.teardown(() => system.remove());
  rmSync(join(system.root, 'etc/shells'));
  t.equal(system.ctl('enroll', 'bob').status, 0);
  t.equal(system.read('etc/shells'), '/bin/bash\n/usr/bin/ttyspy-shell-bash\n');
});

t.test('only root may', async t => {
  const root = process.getuid?.() === 0;
  const asUser = root ? { uid: 65_534, gid: 65_534 } : {};
  const { status, stderr } = spawnSync(CTL, ['enroll', 'alice'], { encoding: 'utf8', cwd: '/', ...asUser });
  t.match({ status, stderr }, { status: 77, stderr: /only root may change login shells/ });
  t.notOk(existsSync('/etc/shells.ttyspyctl'));
});

/** ttyspy as a process: what it does when it is recorded, and what when it cannot be. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../src/os/native.ts';
import { Kind } from '../src/session/event.ts';
import { isRoot, needsRoot, nobody, self } from './support/account.ts';
import { beside, ENV, type Outcome, run } from './support/child.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';

const TTYSPY = join(import.meta.dirname, '../src/client/ttyspy');

const rig = await DaemonRig.start(['record_root yes', 'max_sessions_per_user 3']);
t.teardown(() => rig.end());

/** A configuration of its own beside the rig's. */
function conf(name: string, socket: string, ...lines: string[]): string {
  const file = rig.path(name);
  const all = [
    `username ${self.name}`,
    `socket ${socket}`,
    'endpoint https://127.0.0.1:1/',
    'record_root yes',
    ...lines,
  ];
  writeFileSync(file, `${all.join('\n')}\n`);
  return file;
}

const ttyspy = (file: string, args: readonly string[], options = {}) =>
  run(TTYSPY, ['-c', file, ...args], options);
const sh = (script: string, file = rig.conf, options = {}) =>
  ttyspy(file, ['/bin/sh', '-c', script], options);

/** The last session, when its record is complete. */
async function recorded() {
  await until(() => rig.spooled('live').length === 0);
  const all = rig.spooled('done').map(name => rig.session(name.replace('.done', '')));
  return all.toSorted((a, b) => (a.start.started < b.start.started ? -1 : 1)).at(-1) as (typeof all)[0];
}

t.test('a command: streams apart, status kept, all in the record', async t => {
  const { stdout, stderr, status } = sh('cat; echo err >&2; exit 7', rig.conf, { input: 'in\xff\n' });
  t.same({ stdout, stderr, status }, { stdout: 'in\xff\n', stderr: 'err\n', status: 7 });
  const session = await recorded();
  t.equal(session.bytes(Kind.output).toString('latin1'), stdout);
  t.equal(session.bytes(Kind.stderr).toString(), 'err\n');
  t.equal(session.bytes(Kind.input).toString('latin1'), stdout);
  t.match(session.start, {
    mode: 'command',
    username: self.name,
    claims: { argv: ['/bin/sh', '-c', /^cat/] },
  });
  t.equal(sh('kill -TERM $$').signal, 'SIGTERM');
});

t.test('the environment is what it was, but for the session and the shell', async t => {
  const env = {
    PATH: '/usr/bin:/bin',
    NODE_OPTIONS: '--bad',
    NODE_PATH: '',
    EMPTY: '',
    TTYSPY_SESSION: 'old',
    SSH_CLIENT: '192.0.2.7 1 22',
    TTYSPY_ENV_X: 'y',
  };
  const { stdout, status } = ttyspy(rig.conf, ['/usr/bin/env'], { env });
  t.equal(status, 0);
  const seen = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map(line => line.split(/=(.*)/).slice(0, 2) as [string, string]),
  );
  t.match(seen, {
    PATH: env.PATH,
    NODE_OPTIONS: '--bad',
    NODE_PATH: '',
    EMPTY: '',
    SSH_CLIENT: env.SSH_CLIENT,
  });
  t.match(seen['TTYSPY_SESSION'], /^[a-z2-7]{16}$/, 'an old one means nothing');
  t.same(
    Object.keys(seen).filter(name => /^TTYSPY_(?!SESSION)/.test(name)),
    [],
  );
  t.match((await recorded()).start.claims, { ssh_client: '192.0.2.7 1 22' });
});

t.test('no descriptor but three, signals and limits as before', async t => {
  // 3 is the directory that ls reads.
  t.equal(sh('ls /proc/self/fd').stdout, '0\n1\n2\n3\n');
  const state = 'grep -E "^Sig(Ign|Blk|Cgt)" /proc/self/status; ulimit -n';
  t.equal(sh(state).stdout, run('/bin/sh', ['-c', state]).stdout);
});

t.test('arguments of any bytes', async t => {
  const script = `exec ${TTYSPY} -c ${rig.conf} /bin/echo "$(printf 'a\\377b')" ''  'c d'`;
  t.equal(run('/bin/sh', ['-c', script]).stdout, 'a\xffb  c d\n');
});

const REFUSED = /; access is refused, since sessions here must be recorded\. Tell your administrator\.\n$/;

function refused(t: Tap, outcome: Outcome, status: number, message: RegExp): void {
  t.equal(outcome.status, status, outcome.stderr);
  t.equal(outcome.stdout, '', 'no program ran');
  t.match(outcome.stderr, message);
  t.match(outcome.stderr, REFUSED);
  t.equal(outcome.stderr.split('\n').length, 2, 'one line');
}
type Tap = typeof t;

t.test('nobody listens', async t => {
  refused(
    t as Tap,
    sh('echo ran', conf('none.conf', rig.path('none'))),
    75,
    /^ttyspy: no recorder answers on .*\(ENOENT\)/,
  );
});

t.test('somebody listens and says nothing', async t => {
  const path = rig.path('silent');
  const listener = native.listen(path, 0o666, 5);
  const child = spawn(TTYSPY, ['-c', conf('silent.conf', path), '/bin/echo', 'ran'], { env: ENV });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', piece => (stdout += piece));
  child.stderr.on('data', piece => (stderr += piece));
  child.stdin.end();
  const [status] = await once(child, 'exit');
  // In the hello that nobody takes its streams are still open.
  native.close(listener);
  await once(child, 'close');
  refused(t as Tap, { status, signal: null, stdout, stderr }, 75, /no answer in 5 s/);
});

t.test('an impostor at the path gets nothing', { skip: needsRoot }, async t => {
  const directory = rig.path('open');
  mkdirSync(directory);
  chmodSync(directory, 0o1777);
  const path = join(directory, 'socket');
  const impostor = beside(
    `const listener = native.listen(${JSON.stringify(path)}, 0o666, 5);
     process.stdout.write('.');
     setInterval(() => {
       const fd = native.accept(listener);
       if (fd < 0) return;
       const buffer = Buffer.alloc(100);
       setTimeout(() => process.stdout.write(JSON.stringify(native.receiveMessage(fd, buffer, 0, 100, 8))), 100);
     }, 5);`,
    { uid: nobody.uid, gid: nobody.gid },
  );
  await once(impostor.stdout as NodeJS.ReadableStream, 'data');
  const got = once(impostor.stdout as NodeJS.ReadableStream, 'data');
  const outcome = sh('echo ran', conf('impostor.conf', path));
  refused(t as Tap, outcome, 77, new RegExp(`belongs to uid ${nobody.uid}, not to root or root: a trap`));
  t.same(JSON.parse(String((await got)[0])), { length: 0, fds: [] }, 'not a byte, not a descriptor');
  impostor.kill('SIGKILL');
});

t.test('ttyspyd refuses', async t => {
  const users = Array.from({ length: 3 }, () => spawn(TTYSPY, ['-c', rig.conf, '/bin/cat'], { env: ENV }));
  const before = rig.logged('session started').length;
  await until(() => rig.logged('session started').length >= before + 3);
  refused(t as Tap, sh('echo ran'), 75, /^ttyspy: the recorder refuses the session: you have 3 sessions/);
  for (const user of users) user.stdin.end();
  await Promise.all(users.map(user => once(user, 'close')));
});

t.test('on_failure open: it runs, and says that it is not recorded', async t => {
  const { status, stdout, stderr } = sh(
    'cat; exit 7',
    conf('open.conf', rig.path('none'), 'on_failure open'),
    { input: 'in' },
  );
  t.same([status, stdout], [7, 'in']);
  t.match(stderr, /^ttyspy: this session is NOT RECORDED: no recorder answers on .*\n$/);
});

t.test('root is not recorded, unless the configuration says so', { skip: needsRoot }, async t => {
  const before = rig.logged('session started').length;
  const file = conf('root.conf', rig.socket, 'record_root no');
  writeFileSync(file, execFileSync('grep', ['-v', 'record_root yes', file]));
  const { status, stdout, stderr } = sh('cat; exit 7', file, { input: 'in' });
  t.same([status, stdout, stderr], [7, 'in', '']);
  t.match(sh('echo ran', rig.path('missing.conf')), { status: 0, stdout: 'ran\n', stderr: /not recorded/ });
  t.equal(rig.logged('session started').length, before);
});

t.test('a configuration that is wrong', { skip: isRoot && 'root gets in all the same' }, async t => {
  t.match(sh('echo ran', rig.path('missing.conf')), { status: 78, stdout: '' });
});

t.test('arguments that are wrong', async t => {
  t.match(run(TTYSPY, ['-x']), { status: 64, stderr: /unknown option -x; usage: ttyspy/ });
  t.match(ttyspy(rig.conf, ['sh']), { status: 64, stderr: /absolute path/ });
});

t.test('a program that is not there', async t => {
  const { status, stderr } = ttyspy(rig.conf, ['/nonexistent']);
  t.ok(status !== 0);
  t.match(stderr, /\/nonexistent/);
});

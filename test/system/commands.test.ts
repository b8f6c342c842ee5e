/** Commands without a terminal: files go through unharmed, streams end as they would, and all of it is on record. */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from './rig/archive.ts';
import { Rig } from './rig/rig.ts';
import { must, type Ran, run } from './rig/run.ts';

const CAPTURE = 4 * 1024 ** 2;

const rig = await Rig.start();
const user = rig.accounts.add('/bin/bash');
const host = `${user.name}@127.0.0.1`;
const serverPort = await rig.sshd('sftp-server', [
  'Subsystem sftp /usr/lib/openssh/sftp-server',
  `ForceCommand exec ${rig.client('ttyspy.conf')}`,
]);

// A tree of files as people have them: empty, large, binary, executable, names with blanks and in Unicode.
const tree = rig.path('tree');
mkdirSync(join(tree, 'sub dir'), { recursive: true });
const large = randomBytes(9 * 1024 ** 2);
writeFileSync(join(tree, 'large.bin'), large);
writeFileSync(join(tree, 'empty'), '');
writeFileSync(join(tree, 'sub dir', 'æøå €.txt'), 'text\r\nwith\nline ends');
writeFileSync(join(tree, 'sub dir', 'run.sh'), '#!/bin/sh\nexit 0\n');
chmodSync(join(tree, 'sub dir', 'run.sh'), 0o755);

/** Digest of what is below a directory: names, modes, contents. */
async function digest(directory: string): Promise<string> {
  const list = 'find . -printf "%P %m %y\\n" | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum';
  return sha256(Buffer.from(await must(['sh', '-c', list], { cwd: directory })));
}
const expected = await digest(tree);

function succeeded({ status, stderr }: Ran): void {
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
}

const transfers: Record<string, (port: number) => { to: string[]; from: (into: string) => string[] }> = {
  'scp, the original protocol': port => scp(port, ['-O']),
  'scp over sftp': port => scp(port, ['-s']),
  sftp: port => {
    const sftp = (line: string) => [
      'sh',
      '-c',
      'printf "%s\\n" "$0" | "$@"',
      line,
      'sftp',
      '-b',
      '-',
      ...rig.sshOptions({ port }, '-P'),
      host,
    ];
    return { to: sftp(`put -pR ${tree} tree`), from: into => sftp(`get -pR tree ${into}`) };
  },
  rsync: port => {
    const rsh = ['ssh', ...rig.sshOptions({ port })].join(' ');
    return {
      to: ['rsync', '-a', '--no-owner', '--no-group', '-e', rsh, `${tree}/`, `${host}:tree/`],
      from: into => ['rsync', '-a', '--no-owner', '--no-group', '-e', rsh, `${host}:tree/`, `${into}/`],
    };
  },
};

function scp(port: number, flags: string[]) {
  const options = [...flags, '-rp', ...rig.sshOptions({ port }, '-P')];
  return {
    to: ['scp', ...options, tree, `${host}:tree`],
    from: (into: string) => ['scp', ...options, `${host}:tree`, into],
  };
}

for (const [name, transfer] of Object.entries(transfers)) {
  for (const [server, port] of [
    ['internal-sftp', rig.recorded],
    ['sftp-server', serverPort],
  ] as const) {
    if (name === 'rsync' && server === 'sftp-server') continue;
    t.test(`${name}, both ways (${server})`, async t => {
      const back = rig.path('back');
      rmSync(back, { recursive: true, force: true });
      rmSync(join(user.home, 'tree'), { recursive: true, force: true });
      const { to, from } = transfer(port);
      const { sessions } = await rig.archive.recorded(2, async () => {
        succeeded(await run(to));
        succeeded(await run(from(back)));
      });
      t.equal(await digest(join(user.home, 'tree')), expected, 'there');
      t.equal(await digest(back), expected, 'and back');
      for (const { manifest, output, input } of sessions) {
        t.match(manifest.end, { reason: 'exit', status: 0 });
        const { input: received, output: sent } = manifest.end.streams;
        t.equal(input.length, received?.recorded);
        t.equal(output.length, (sent?.recorded ?? 0) + (manifest.end.streams['stderr']?.recorded ?? 0));
        t.ok(Math.max(received?.bytes ?? 0, sent?.bytes ?? 0) > large.length, 'all of it was counted');
      }
    });
  }
}

t.test('bash -s: a script on stdin, recorded with its output', async t => {
  const script = 'echo one; echo two >&2\ncat <<END\nthree\nEND\nexit 6\n';
  const { result, session } = await rig.archive.one(() => rig.ssh({ user }, 'bash -s -- -x', script));
  t.equal(result.status, 6);
  t.equal(result.stdout.toString(), 'one\nthree\n');
  t.equal(result.stderr.toString(), 'two\n');
  t.equal(session.input.toString(), script);
  t.equal(session.output.toString().split('\n').toSorted().join(' '), ' one three two');
  t.match(session.timing, /STREAM stderr/);
  t.match(session.manifest, { mode: 'command', rows: null, columns: null });
  t.match(session.manifest.claims, { ssh_original_command: 'bash -s -- -x' });
});

t.test('a shell without a terminal: ssh host with a script on stdin', async t => {
  const { result, session } = await rig.archive.one(() =>
    run(rig.sshCommand({ user, options: ['-T'] }), { input: 'echo from $0; exit 5\n' }),
  );
  t.equal(result.status, 5);
  t.equal(result.stdout.toString(), 'from -bash\n');
  t.same(session.output, result.stdout);
});

t.test('half-close: the end of stdin passes, output goes on', async t => {
  const { result, session } = await rig.archive.one(() => rig.ssh({ user }, 'cat; echo done', 'words\n'));
  t.equal(result.stdout.toString(), 'words\ndone\n');
  t.same(session.output, result.stdout);
  t.equal(session.input.toString(), 'words\n');
});

t.test('a command that takes ten bytes of a flood ends', async t => {
  const flood = Buffer.alloc(20 * 1024 ** 2, 'x');
  const { result, session } = await rig.archive.one(() => rig.ssh({ user }, 'head -c 10', flood));
  t.equal(result.status, 0);
  t.equal(result.stdout.toString(), 'xxxxxxxxxx');
  t.equal(session.manifest.end.status, 0);
});

t.test('a command that closes stdout and stderr goes on reading', async t => {
  const data = randomBytes(3 * 1024 ** 2);
  const { session } = await rig.archive.one(() => rig.ssh({ user }, 'exec >&- 2>&-; cat > closed.bin', data));
  t.equal(sha256(readFileSync(join(user.home, 'closed.bin'))), sha256(data));
  t.equal(sha256(session.input), sha256(data));
});

t.test('a command that closes its stdin goes on writing', async t => {
  const { result } = await rig.archive.one(() =>
    rig.ssh({ user }, 'exec <&-; sleep 0.5; echo late', 'unread'),
  );
  t.equal(result.stdout.toString(), 'late\n');
});

t.test('a reader that goes away: the command gets SIGPIPE', async t => {
  const script = `${rig.sshCommand({ user }).join(' ')} 'yes; echo ended $? > ~/yes' | head -n 3`;
  const { result, session } = await rig.archive.one(() => run(['bash', '-c', script]));
  t.equal(result.stdout.toString(), 'y\ny\ny\n');
  t.match(session.manifest.end.reason, /hangup|exit/);
});

t.test('output of a job left behind comes, as it does without ttyspy', async t => {
  const command = '(sleep 0.5; echo later) & echo now';
  const { result, session } = await rig.archive.one(() => rig.ssh({ user }, command));
  t.equal(result.stdout.toString(), (await rig.ssh({ user, port: rig.bare }, command)).stdout.toString());
  t.same(session.output, result.stdout);
});

t.test('beyond command_capture: counted and hashed', async t => {
  const data = randomBytes(10_000_000);
  const { result, session } = await rig.archive.one(() => rig.ssh({ user }, 'tee /dev/stderr', data));
  t.equal(sha256(result.stdout), sha256(data), 'the user got all of stdout');
  t.equal(sha256(result.stderr), sha256(data), 'and of stderr');
  for (const stream of ['input', 'output', 'stderr']) {
    t.same(
      session.manifest.end.streams[stream],
      { bytes: data.length, recorded: CAPTURE, sha256: sha256(data) },
      stream,
    );
  }
  t.equal(sha256(session.input), sha256(data.subarray(0, CAPTURE)));
  t.match(session.timing, /MARKER \{"type":"capture-limit","stream":"input","recorded":4194304\}/);
});

t.test('100 MB each way: exact, and how much slower', async t => {
  const size = 100_000_000;
  const zeros = (length: number) => {
    const hash = createHash('sha256');
    for (let left = length; left > 0; left -= 1_000_000) hash.update(Buffer.alloc(1_000_000));
    return hash.digest('hex');
  };
  const timed = async (port: number, command: string) => {
    const began = performance.now();
    const ssh = rig.sshCommand({ user, port, options: ['-T'] }).join(' ');
    const text = await must(['bash', '-c', `head -c ${size} /dev/zero | ${ssh} '${command}' | sha256sum`]);
    return { sum: text.split(' ')[0], seconds: (performance.now() - began) / 1000 };
  };
  for (const command of ['cat > /dev/null', 'cat']) {
    const bare = await timed(rig.bare, command);
    const { result, session } = await rig.archive.one(() => timed(rig.recorded, command));
    t.equal(result.sum, bare.sum);
    t.equal(session.manifest.end.streams['input']?.bytes, size);
    t.equal(session.manifest.end.streams['input']?.sha256, zeros(size));
    const ratio = (result.seconds / bare.seconds).toFixed(2);
    t.comment(
      `${command}: ${bare.seconds.toFixed(2)} s without, ${result.seconds.toFixed(2)} s with: ${ratio}`,
    );
  }
});

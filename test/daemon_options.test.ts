/** ttyspyd's command line, configuration and account. */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { parseTtyspyConf } from '../src/config/ttyspy_conf.ts';
import { account, isRoot, needsRoot, nobody, self } from './support/account.ts';
import { run } from './support/child.ts';
import { DaemonRig, TTYSPYD } from './support/daemon_rig.ts';

const rig = new DaemonRig(['max_sessions 7', 'spool_limit 3M']);
t.teardown(() => rig.end());

const ttyspyd = (args: readonly string[], options = {}) => run(TTYSPYD, args, options);

t.test('-n: the configuration is right', async t => {
  t.match(ttyspyd(['-n', '-c', rig.conf]), { status: 0, stdout: '', stderr: '' });
  t.match(
    ttyspyd(['-f', '-n', '-c', 'ttyspy.conf'], { cwd: rig.directory }),
    { status: 0 },
    'a relative path',
  );
});

t.test('-T: the effective configuration, which parses to the same', async t => {
  const { status, stdout } = ttyspyd(['-T', '-c', rig.conf]);
  t.equal(status, 0);
  t.match(stdout, /^max_sessions 7$/m);
  t.match(stdout, /^on_failure closed$/m);
  t.strictSame(parseTtyspyConf(stdout, 'dump'), parseTtyspyConf(readFileSync(rig.conf, 'utf8'), rig.conf));
});

t.test('what is wrong is said with its place, and nothing begins', async t => {
  const wrong = (text: string) => {
    writeFileSync(rig.path('wrong.conf'), text);
    return ttyspyd(['-n', '-c', rig.path('wrong.conf')]);
  };
  const needed = `username ${self.name}\nsocket /run/x\nendpoint https://a.example/\n`;
  t.match(wrong(`${needed}max_session 7\n`), {
    status: 78,
    stderr: /wrong\.conf:4:1: .*max_session.*max_sessions/,
  });
  t.match(wrong('username x\n'), { status: 78, stderr: /socket is missing/ });
  t.match(wrong(needed.replace(self.name, 'no-such-user')), {
    status: 78,
    stderr: 'ttyspyd: username: there is no account no-such-user\n',
  });
  t.match(ttyspyd(['-n', '-c', rig.path('none.conf')]), {
    status: 78,
    stderr: /none\.conf: there is no such file/,
  });
  for (const args of [['-x'], ['--port=1'], ['word'], ['-c']]) {
    t.match(ttyspyd(args), { status: 64, stderr: /usage: ttyspyd/ }, args.join(' '));
  }
});

t.test('as somebody who is neither root nor the account', async t => {
  const other = isRoot ? 'daemon' : 'root';
  writeFileSync(rig.path('other.conf'), `username ${other}\nsocket /run/x\nendpoint https://a.example/\n`);
  const who = isRoot ? { uid: nobody.uid, gid: nobody.gid } : {};
  t.match(ttyspyd(['-n', '-c', rig.path('other.conf')], who), {
    status: 78,
    stderr: new RegExp(`runs as .*, but username is ${other}; start it as root or as ${other}`),
  });
});

t.test('root is given up for good, -f or not (fault 13)', { skip: needsRoot }, async t => {
  await rig.run('set -- -f "$@"');
  const { uid, gid } = account('daemon');
  const status = readFileSync(`/proc/${rig.pid}/status`, 'utf8');
  t.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
  t.match(status, new RegExp(`^Gid:\\t${gid}\\t${gid}\\t${gid}\\t${gid}$`, 'm'));
  t.match(status, new RegExp(`^Groups:\\t${gid} $`, 'm'));
  for (const set of ['CapPrm', 'CapEff', 'CapInh', 'CapAmb'])
    t.match(status, new RegExp(`^${set}:\\t0+$`, 'm'));
  t.equal(await rig.stop(), 0);
});

t.test('SIGTERM and SIGINT end it with 0', async t => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    await rig.run();
    t.equal(await rig.stop(signal), 0);
    t.equal(rig.logged('stopping').length, 1);
  }
});

t.test('nobody opens the inspector by a signal', async t => {
  await rig.run();
  rig.child.kill('SIGUSR1');
  await new Promise(resolve => setTimeout(resolve, 200));
  t.notMatch(JSON.stringify(rig.log), /Debugger listening/);
  t.comment(rig.alive ? 'it goes on' : `it ended by ${rig.child.signalCode}`);
  await rig.stop();
});

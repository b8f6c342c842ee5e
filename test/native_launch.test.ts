/** The launcher: every program starts under its names, from anywhere, by anybody, and under Node's own rules. */
import { chmodSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import packageJson from '../package.json' with { type: 'json' };
import { isRoot, nobody } from './support/account.ts';
import { ENV, type Outcome, run } from './support/child.ts';

const ROOT = join(import.meta.dirname, '..');
const directory = t.testdir();
chmodSync(directory, 0o755);

/** ttyspy-shell takes all arguments for the real shell's: it has no usage to be told. */
const programs = Object.entries(packageJson.bin).filter(([name]) => name !== 'ttyspy-shell');

/** What each program says to an option that it does not have. */
function startsAs(name: string, { status, stderr }: Outcome): string {
  if (status !== 64) return `${name}: status ${status}: ${stderr}`;
  return /usage|--help/.test(stderr) && !stderr.includes('    at ') ? 'usage' : stderr;
}

/** All that Node would obey. */
function misleading(): NodeJS.ProcessEnv {
  const file = join(directory, 'evil.cjs');
  return {
    ...ENV,
    NODE_OPTIONS: `--require=${file}`,
    NODE_PATH: directory,
    NODE_EXTRA_CA_CERTS: file,
    NODE_REPL_EXTERNAL_MODULE: file,
    NODE_V8_COVERAGE: directory,
    SSLKEYLOGFILE: join(directory, 'keys'),
    OPENSSL_CONF: file,
    SSL_CERT_FILE: file,
    UV_THREADPOOL_SIZE: '1',
  };
}

t.test('by its path, whatever the environment tells Node', async t => {
  for (const [name, path] of programs) {
    const outcome = run(join(ROOT, path), ['--nonsense'], { env: misleading() });
    t.equal(startsAs(name, outcome), 'usage', name);
    t.notMatch(outcome.stderr, /evil|warning/i);
  }
});

t.test('by a relative path, from its own directory', async t => {
  const path = join(ROOT, packageJson.bin.ttyspyd);
  t.equal(startsAs('ttyspyd', run(`./${basename(path)}`, ['--nonsense'], { cwd: dirname(path) })), 'usage');
});

t.test('by a link that is found in PATH, from elsewhere, as somebody else where that can be', async t => {
  const who = isRoot ? { uid: nobody.uid, gid: nobody.gid } : {};
  for (const [name, path] of programs) {
    symlinkSync(join(ROOT, path), join(directory, name));
    const env = { ...ENV, PATH: `${directory}:${ENV['PATH']}` };
    t.equal(startsAs(name, run(name, ['--nonsense'], { cwd: '/', env, ...who })), 'usage', name);
  }
});

t.test("by the original receiver's name", async t => {
  const link = join(directory, 'session_receiver');
  symlinkSync(join(ROOT, 'src/receiver/ttyspy-receiver'), link);
  t.match(run(link, ['--nonsense']), { status: 64, stderr: /-store/ });
});

t.test('under a name that is none', async t => {
  for (const name of ['something', 'ttyspydd', 'launch', 'TTYSPYD']) {
    const link = join(directory, name);
    symlinkSync(join(ROOT, 'src/daemon/ttyspyd'), link);
    const { status, stderr } = run(link, []);
    t.equal(status, 64);
    t.equal(stderr, `ttyspy: ${name}: no program of ttyspy has this name\n`);
  }
});

t.test('the name of the file counts, not argv[0]', async t => {
  const outcome = run(join(ROOT, 'src/daemon/ttyspyd'), ['--nonsense'], { argv0: 'ttyspyctl' });
  t.match(outcome, { status: 64, stderr: 'usage: ttyspyd' });
  t.match(run(join(ROOT, 'src/daemon/ttyspyd'), ['--nonsense'], { argv0: '' }), { status: 64 });
});

t.test("options for Node are the program's to refuse", async t => {
  for (const [name, path] of programs) {
    const { stdout, status } = run(join(ROOT, path), ['--version']);
    t.not(stdout, `${process.version}\n`, name);
    if (name !== 'ttyspyctl') t.equal(status, 64, name);
  }
});

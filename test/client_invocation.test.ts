/** What ttyspy takes its name and arguments for. */
import t from 'tap';
import { type Invocation, parseInvocation, UsageError } from '../src/client/invocation.ts';

const COMMAND: Invocation = {
  asShell: false,
  login: true,
  config: null,
  filter: [],
  shellArgs: [],
  shellName: null,
};
const SHELL: Invocation = { ...COMMAND, asShell: true, login: false };

const asCommand = (...args: string[]) => parseInvocation('ttyspy', 'ttyspy', args);
const asShell = (...args: string[]) => parseInvocation('ttyspy-shell', 'ttyspy-shell', args);

t.test('as a ForceCommand', async t => {
  t.strictSame(asCommand(), COMMAND);
  t.strictSame(asCommand('-c', '/etc/x.conf'), { ...COMMAND, config: '/etc/x.conf' });
  t.strictSame(asCommand('-c', 'relative.conf'), { ...COMMAND, config: 'relative.conf' });
  t.strictSame(asCommand('/usr/bin/filter', 'a'), { ...COMMAND, filter: ['/usr/bin/filter', 'a'] });
});

t.test('options of the recorded command are its own (fault 7)', async t => {
  t.strictSame(asCommand('/bin/sh', '-c', 'echo hi').filter, ['/bin/sh', '-c', 'echo hi']);
  t.strictSame(asCommand('/bin/sh', '-c', 'x').config, null);
  t.strictSame(asCommand('-c', 'f', '/bin/sh', '-c', 'x', '--', '-c'), {
    ...COMMAND,
    config: 'f',
    filter: ['/bin/sh', '-c', 'x', '--', '-c'],
  });
  t.strictSame(asCommand('--', '/bin/ls', '--help').filter, ['/bin/ls', '--help']);
  t.strictSame(asCommand('-c', 'f', '--', '/bin/ls', '-c').filter, ['/bin/ls', '-c']);
});

t.test('what makes no sense', async t => {
  for (const [args, message] of [
    [['-x'], /unknown option -x; usage: ttyspy/],
    [['--help'], /unknown option --help/],
    [['-'], /unknown option -/],
    [['-c'], /-c wants a file/],
    [['-cfile'], /unknown option -cfile/],
    [['filter'], /filter: a filter is named by its absolute path/],
    [['./filter'], /absolute path/],
    [['--', '-c'], /absolute path/],
    [[''], /absolute path/],
  ] as const) {
    t.throws(() => asCommand(...args), UsageError, args.join(' '));
    t.throws(() => asCommand(...args), { message }, args.join(' '));
  }
});

t.test('as a login shell', async t => {
  t.strictSame(asShell(), SHELL);
  t.strictSame(parseInvocation('ttyspy-shell', '-ttyspy-shell', []), { ...SHELL, login: true });
  t.strictSame(parseInvocation('ttyspy-shell', '-su', []), { ...SHELL, login: true }, 'as su names it');
  t.strictSame(asShell('-c', 'ls -l').shellArgs, ['-c', 'ls -l'], '-c means a command here');
  t.strictSame(asShell('-c', 'ls', 'zero', 'one').shellArgs, ['-c', 'ls', 'zero', 'one']);
  t.strictSame(asShell('-l', '-i').shellArgs, ['-l', '-i']);
  t.strictSame(
    asShell('--anything', '').shellArgs,
    ['--anything', ''],
    'nothing is refused: it is for the real shell',
  );
  t.equal(parseInvocation('ttyspy-shell-zsh', '-zsh', []).shellName, 'zsh');
  t.equal(parseInvocation('ttyspy-shell-', '', []).shellName, '');
});

const itself = (command: string) => !asShell('-c', command).asShell;

t.test('as the login shell that sshd runs the ForceCommand by', async t => {
  for (const command of [
    '/usr/bin/ttyspy',
    'exec /usr/bin/ttyspy',
    ' exec  /usr/lib/ttyspy/client/ttyspy ',
    'ttyspy',
    'exec ttyspy',
  ]) {
    t.strictSame(asShell('-c', command), COMMAND, command);
  }
  t.strictSame(asShell('-c', 'exec /usr/bin/ttyspy /usr/bin/ssh-mosh-filter -x --a=b,c:1@h').filter, [
    '/usr/bin/ssh-mosh-filter',
    '-x',
    '--a=b,c:1@h',
  ]);
});

t.test('a configuration cannot be chosen through the shell', async t => {
  for (const command of [
    '/usr/bin/ttyspy -c /tmp/mine.conf',
    'exec /usr/bin/ttyspy -c/tmp/mine.conf',
    '/usr/bin/ttyspy -- /bin/sh',
  ]) {
    t.notOk(itself(command), command);
    t.strictSame(asShell('-c', command).shellArgs, ['-c', command], 'the real shell gets it, recorded');
  }
});

t.test('what a shell would interpret goes to the shell', async t => {
  for (const command of [
    '/usr/bin/ttyspy; id',
    '/usr/bin/ttyspy & id',
    '/usr/bin/ttyspy | cat',
    '/usr/bin/ttyspy > /tmp/x',
    '/usr/bin/ttyspy /bin/sh `id`',
    '/usr/bin/ttyspy /bin/sh $(id)',
    '/usr/bin/ttyspy /bin/sh "a b"',
    "/usr/bin/ttyspy /bin/sh 'a'",
    '/usr/bin/ttyspy /bin/*',
    '/usr/bin/ttyspy /bin/sh ~',
    '/usr/bin/ttyspy /bin/sh \\x',
    '/usr/bin/ttyspy\nid',
    '/usr/bin/ttyspy /bin/sh\nid',
    '/usr/bin/ttyspy /bin/sh #',
    '/usr/bin/ttyspy sh',
    '$HOME/ttyspy',
    '/usr/bin/nottyspy',
    '/usr/bin/ttyspy-shell',
    'exec exec /usr/bin/ttyspy',
    'env /usr/bin/ttyspy',
    'TTYSPY=1 /usr/bin/ttyspy',
    '',
    'exec',
    ' ',
  ]) {
    t.notOk(itself(command), JSON.stringify(command));
  }
  t.notOk(!asShell('-c', 'ttyspy', 'more').asShell, 'with more arguments');
  t.notOk(!asShell('-lc', 'ttyspy').asShell);
});

/** Which program ttyspy becomes. */
import { existsSync } from 'node:fs';
import t from 'tap';
import { parseInvocation } from '../src/client/invocation.ts';
import { chooseProgram } from '../src/client/program.ts';

const command = (...args: string[]) => parseInvocation('ttyspy', 'ttyspy', args);
const shell = (called: string, argv0: string, ...args: string[]) => parseInvocation(called, argv0, args);
const REAL = existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
const name = REAL.slice(5);

t.test('the login shell, as a login shell', async t => {
  t.strictSame(chooseProgram(command(), '/bin/sh', null, undefined), {
    path: '/bin/sh',
    argv: ['-sh'],
    shell: '/bin/sh',
  });
  t.strictSame(chooseProgram(command(), '/bin/sh', null, ''), {
    path: '/bin/sh',
    argv: ['-sh'],
    shell: '/bin/sh',
  });
  t.strictSame(
    chooseProgram(command(), '/bin/sh', '/bin/other', undefined).path,
    '/bin/sh',
    'the directive is for ttyspy-shell',
  );
});

t.test('SSH_ORIGINAL_COMMAND, by that shell', async t => {
  t.strictSame(chooseProgram(command(), '/bin/zsh', null, 'ls -l "$HOME"'), {
    path: '/bin/zsh',
    argv: ['zsh', '-c', 'ls -l "$HOME"'],
    shell: '/bin/zsh',
  });
  t.strictSame(
    chooseProgram(command(), '/bin/sh', null, '\xff\xfe').argv,
    ['sh', '-c', '\xff\xfe'],
    'bytes as they are',
  );
});

t.test('a filter comes first, and finds the command in the environment', async t => {
  t.strictSame(chooseProgram(command('/usr/bin/filter', '-c', 'x'), '/bin/sh', null, 'ls'), {
    path: '/usr/bin/filter',
    argv: ['/usr/bin/filter', '-c', 'x'],
    shell: '/bin/sh',
  });
});

t.test('internal-sftp runs the sftp-server program', async t => {
  const { path, argv } = chooseProgram(command(), '/bin/sh', null, 'internal-sftp -l INFO');
  if (path === '/bin/sh') {
    t.pass('sftp', { skip: 'no sftp-server on this machine' });
    return;
  }
  t.match(path, /\/sftp-server$/);
  t.strictSame(argv, ['sftp-server', '-l', 'INFO']);
  t.equal(chooseProgram(command(), '/bin/sh', null, 'internal-sftpd').path, '/bin/sh');
});

t.test('as a login shell it becomes the real one, never itself', async t => {
  const enrolled = '/usr/lib/ttyspy/client/ttyspy-shell';
  t.strictSame(chooseProgram(shell('ttyspy-shell', '-ttyspy-shell'), enrolled, null, undefined), {
    path: REAL,
    argv: [`-${name}`],
    shell: REAL,
  });
  t.strictSame(
    chooseProgram(shell('ttyspy-shell', 'ttyspy-shell', '-c', 'ls'), enrolled, null, 'ignored').argv,
    [name, '-c', 'ls'],
  );
  t.equal(
    chooseProgram(shell('ttyspy-shell', '-su'), enrolled, '/usr/bin/fish', undefined).path,
    '/usr/bin/fish',
    'the directive',
  );
  t.equal(chooseProgram(command(), enrolled, null, undefined).path, REAL, 'under ForceCommand as well');
  t.equal(
    chooseProgram(command(), '/bin/ttyspy-shell-nonexistent', null, undefined).path,
    REAL,
    'a shell that is not there',
  );
});

t.test("a link's name says which shell", async t => {
  t.equal(
    chooseProgram(shell('ttyspy-shell-sh', '-sh'), '/usr/bin/ttyspy-shell-sh', null, undefined).argv[0],
    '-sh',
  );
  t.match(chooseProgram(command(), '/usr/bin/ttyspy-shell-sh', null, undefined).path, /\/sh$/);
  t.equal(
    chooseProgram(shell('ttyspy-shell-..', ''), '/usr/bin/ttyspy-shell', null, undefined).path,
    REAL,
    'no way out of shells(5)',
  );
  t.equal(
    chooseProgram(shell('ttyspy-shell-ttyspy-shell', ''), '/usr/bin/ttyspy-shell', null, undefined).path,
    REAL,
  );
});

/**
 * What a user's own start-up files can do before the recording. With ttyspy-shell as the login shell: nothing, whatever
 * way leads in. With ForceCommand alone: sshd runs it by the user's shell, which reads one of them first. README warns
 * of that, and here is which.
 */
import './rig/private_etc.ts';
import t from 'tap';
import { type Account, PROMPT } from './rig/accounts.ts';
import { consoleLogin, enroll, noConsole, startEnrollable, su } from './rig/enrolled.ts';
import type { Terminal } from './rig/terminal.ts';

const rig = await startEnrollable();
/** With the ForceCommand that README recommends. */
const both = await rig.sshd('both', [`ForceCommand exec ${rig.program('client/ttyspy')}`]);

const users = { bash: rig.accounts.add('/bin/bash'), zsh: rig.accounts.add('/bin/zsh') };
await enroll(rig, users.bash, users.zsh);

const FILES = {
  bash: ['.bashrc', '.bash_profile', '.bash_login', '.profile'],
  zsh: ['.zshenv', '.zprofile', '.zshrc', '.zlogin'],
} as const;

type Shell = keyof typeof FILES;

/**
 * Files that a shell reads even where it only runs a command for sshd: Debian's and Fedora's bash (SSH_SOURCE_BASHRC),
 * every zsh.
 */
const ALWAYS_READ: Readonly<Record<Shell, string>> = { bash: '.bashrc', zsh: '.zshenv' };

const MARKER = 'said by a start-up file';
const FORMS = { 'exec sh': 'exec sh\n', echo: `echo '${MARKER}'\n` } as const;

/** What a session looked like from the user's side. */
interface Seen {
  readonly shown: Buffer;
  /** The shell that answered, by its $0. */
  readonly shell: string;
}

type Way = (user: Account) => Promise<Seen>;

/** Prompts of sh, bash, zsh with their own settings, and of the rig. */
const ANY_PROMPT = /[$%] /;
const QUESTION = 'echo "in-$((6*7)) [$0]"';
const ANSWER = /in-42 \[-?(\w+)\]\r?\n/;

async function onTerminal(terminal: Terminal): Promise<Seen> {
  await terminal.until(ANY_PROMPT);
  terminal.type(`${QUESTION}\r`);
  await terminal.until(ANSWER);
  terminal.type('exit\r');
  await terminal.ended();
  return seen(terminal.shown);
}

/** Whoever reads stdin as a script, answers; if none does, the command. */
async function byCommand(user: Account, port: number): Promise<Seen> {
  const { stdout, stderr } = await rig.ssh({ user, port }, QUESTION, `${QUESTION}\n`);
  if (stderr.length > 0) throw new Error(`unexpected: ${stderr}`);
  return seen(stdout);
}

function seen(shown: Buffer): Seen {
  return { shown, shell: ANSWER.exec(shown.toString('latin1'))?.[1] ?? '' };
}

/** A home with this file; bash's login shells come to ~/.bashrc as Debian's ~/.profile leads them there. */
function prepare(user: Account, file: string, contents: string): void {
  rig.accounts.empty(user);
  if (file === '.bashrc') rig.accounts.write(user, '.bash_profile', '. ~/.bashrc\n');
  rig.accounts.write(user, file, contents);
}

/** Whether the file had its say, in the form it was given. */
function took(form: string, { shell, shown }: Seen): boolean {
  return form === 'exec sh' ? shell === 'sh' : shown.includes(MARKER);
}

const WAYS: Readonly<Record<string, Way>> = {
  'ssh, a terminal': user => onTerminal(rig.login({ user, port: rig.bare })),
  'ssh, a command': user => byCommand(user, rig.bare),
  'ForceCommand as well, a terminal': user => onTerminal(rig.login({ user, port: both })),
  'ForceCommand as well, a command': user => byCommand(user, both),
  'su -': user => onTerminal(su(user)),
  ...(noConsole ? {} : { 'the console': (user: Account) => onTerminal(consoleLogin(user)) }),
};

t.test('the console', { skip: noConsole }, async t => t.pass('one of the ways in'));

for (const shell of ['bash', 'zsh'] as const) {
  const enrolled = users[shell];

  for (const file of FILES[shell]) {
    for (const [form, contents] of Object.entries(FORMS)) {
      t.test(`login shell: ${form} in ~/${file}: every byte is recorded`, async t => {
        prepare(enrolled, file, contents);
        for (const [name, enter] of Object.entries(WAYS)) {
          const { session, result } = await rig.archive.one(() => enter(enrolled));
          t.same(session.output, result.shown, name);
          const read = !name.endsWith('a command') || file === ALWAYS_READ[shell];
          t.equal(took(form, result), read, `${name}: ${read ? 'the file was read' : 'not read'}`);
        }
      });
    }
  }

  const plain = rig.accounts.add(`/bin/${shell}`);
  const forced: Readonly<Record<string, Way>> = {
    'a terminal': user => onTerminal(rig.login({ user })),
    'a command': user => byCommand(user, rig.recorded),
  };

  for (const file of FILES[shell]) {
    const hole = file === ALWAYS_READ[shell];

    t.test(`ForceCommand alone: exec sh in ~/${file}: ${hole ? 'A HOLE' : 'recorded'}`, async t => {
      prepare(plain, file, FORMS['exec sh']);
      for (const [name, enter] of Object.entries(forced)) {
        const { sessions, result } = await rig.archive.recorded(hole ? 0 : 1, () => enter(plain));
        if (hole) t.equal(result.shell, 'sh', `${name}: a shell that nothing knows of`);
        else t.same(sessions[0]?.output, result.shown, name);
      }
    });

    t.test(`ForceCommand alone: echo in ~/${file}: ${hole ? 'A HOLE' : 'recorded'}`, async t => {
      prepare(plain, file, FORMS.echo);
      for (const [name, enter] of Object.entries(forced)) {
        const { session, result } = await rig.archive.one(() => enter(plain));
        const before = result.shown.subarray(0, -session.output.length).toString();
        t.same(session.output, result.shown.subarray(-session.output.length), `${name}: the rest`);
        t.match(before, hole ? new RegExp(`^${MARKER}\\r?\\n$`) : /^$/, `${name}: what was not recorded`);
      }
    });
  }

  t.test(`ForceCommand alone: su - and the console of ${shell} are not recorded at all`, async t => {
    rig.accounts.empty(plain);
    rig.accounts.write(plain, shell === 'bash' ? '.bashrc' : '.zshrc', `PS1='${PROMPT}'\n`);
    for (const open of noConsole ? [su] : [su, consoleLogin]) {
      const { result } = await rig.archive.recorded(0, () => onTerminal(open(plain)));
      t.equal(result.shell, shell);
    }
  });
}

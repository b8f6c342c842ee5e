/** ttyspyctl: what an auditor or admin does with sessions, certificates and login shells, by hand. */
import { basename } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { Exit, Failure } from './failure.ts';

interface Command {
  /** Its forms, below one another in the help. */
  readonly usage: readonly string[];
  readonly about: string;
  /** Loaded when it is called, since X.509 takes long to load and most commands need none. */
  readonly load: () => Promise<{ run(args: readonly string[]): Promise<void> }>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  list: {
    usage: ['list [--store DIR] [--json] [USER...]'],
    about: 'List the sessions in an archive, or those of the users named.',
    load: () => import('./archive/list.ts'),
  },
  play: {
    usage: ['play [--store DIR] [--speed N] [--max-wait SECONDS] [--no-wait] [--raw] FILE|ID'],
    about: 'Play a session. Keys: space pause, + - speed, s or right skip to the next pause, q quit.',
    load: () => import('./play/command.ts'),
  },
  enroll: {
    usage: ['enroll [--shell-path FILE] [--root DIR] [--force] [--unlisted] USER...'],
    about:
      "Make ttyspy-shell the users' login shell, so that all of their logins are recorded; their shell starts behind " +
      'it. --unlisted keeps it out of /etc/shells, so that chsh refuses to change it.',
    load: () => import('./enroll/enroll.ts'),
  },
  unenroll: {
    usage: ['unenroll [--shell-path FILE] [--root DIR] [--force] USER...'],
    about: 'Give users the login shell back that they had before.',
    load: () => import('./enroll/unenroll.ts'),
  },
  pki: {
    usage: [
      'pki init [--name NAME] [options]',
      'pki server NAME... [options]',
      'pki client NAME... [options]',
      'pki revoke NAME... [--dir DIR]',
    ],
    about:
      'Make the authority, then certificates of receivers (server) and bastions (client); revoke them. ' +
      'Options: --dir DIR (ttyspy-pki), --days N, --key-type p256|ed25519.',
    load: () => import('./pki/command.ts'),
  },
};

function help(): string {
  const commands = Object.values(COMMANDS).map(
    ({ usage, about }) => `${usage.map(form => `  ttyspyctl ${form}\n`).join('')}      ${about}\n`,
  );
  return `usage: ttyspyctl COMMAND\n\n${commands.join('\n')}\n  ttyspyctl --help | --version\n`;
}

async function main([name, ...args]: readonly string[]): Promise<void> {
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(help());
    return;
  }
  if (name === '--version') {
    process.stdout.write(`ttyspyctl ${packageJson.version}\n`);
    return;
  }
  if (name === undefined) throw new Failure(Exit.usage, 'which command? See ttyspyctl --help');
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    throw new Failure(Exit.usage, `there is no command ${JSON.stringify(name)}; see ttyspyctl --help`);
  }
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(
      `${command.usage.map(form => `usage: ttyspyctl ${form}\n`).join('')}${command.about}\n`,
    );
    return;
  }
  try {
    await (await command.load()).run(args);
  } catch (error) {
    if (!(error instanceof Failure && error.status === Exit.usage)) throw error;
    throw new Failure(Exit.usage, `${error.message}; see ttyspyctl ${name} --help`);
  }
}

// Whoever reads our output may stop at any time (`| head`): that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

main(process.argv.slice(2)).catch((error: unknown) => {
  if (error instanceof Failure) {
    process.stderr.write(`ttyspyctl: ${error.message}\n`);
    process.exitCode = error.status;
    return;
  }
  // Our own fault: what the person sees is one line, and where it happened for the report.
  const where = error instanceof Error ? (error.stack?.split('\n')[1]?.trim() ?? '') : '';
  const place = basename(where.replace(/\)$/, ''));
  process.stderr.write(
    `ttyspyctl: internal error, please report it: ${String(error).split('\n')[0]} (${place})\n`,
  );
  process.exitCode = Exit.software;
});

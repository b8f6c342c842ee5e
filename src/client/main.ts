/** ttyspy: hands the session to ttyspyd and becomes the user's shell. See ttyspy(8), src/README.md. */
import type { TtyspyConf } from '../config/ttyspy_conf.ts';
import { loadTtyspyConf } from '../os/config_file.ts';
import { type Launch, readLaunch } from '../os/launch.ts';
import { errorCode, native } from '../os/native.ts';
import type { Claims } from '../session/metadata.ts';
import { connect, ownEntry } from './connection.ts';
import { EX_CONFIG, EX_UNAVAILABLE, EX_USAGE, NotRecordable, Refused, report, tell } from './failure.ts';
import { become, handOff, howToHandOver } from './handoff.ts';
import { type Invocation, parseInvocation, UsageError } from './invocation.ts';
import { chooseProgram, type Program } from './program.ts';

async function main(): Promise<void> {
  const launch = readLaunch();
  // From here nobody of the same uid may trace us and take the descriptors before they are handed over.
  native.setDumpable(0);
  const invocation = parseInvocation(launch.called, launch.argv0, launch.args);
  const conf = readConf(invocation);
  const program = chooseProgram(
    invocation,
    ownEntry().shell,
    conf?.shell ?? null,
    launch.env.get('SSH_ORIGINAL_COMMAND'),
  );
  // Root must get in when nothing else works, so a broken configuration does not keep root out either.
  if (process.getuid?.() === 0 && !conf?.record_root) becomeOrExit(program, launch);
  if (!conf) return;
  try {
    await record(conf, launch, program);
  } catch (error) {
    if (!(error instanceof NotRecordable)) throw error;
    await refuse(error, conf, launch, program);
  }
}

function readConf(invocation: Invocation): TtyspyConf | null {
  try {
    return loadTtyspyConf(invocation.config ?? undefined);
  } catch (error) {
    if (process.getuid?.() !== 0) throw error;
    tell(`${(error as Error).message}; not recorded`);
    return null;
  }
}

async function record(conf: TtyspyConf, launch: Launch, program: Program): Promise<void> {
  const how = howToHandOver();
  if (how === 'by-hand') {
    const { copyByHand } = await import('./by_hand.ts');
    process.exitCode = await copyByHand();
    return;
  }
  const socket = connect(conf.socket, conf.username);
  try {
    handOff(socket, how, launch, program, claimsOf(launch, program));
  } catch (error) {
    if (error instanceof NotRecordable) throw error;
    // Recorded already: what failed is what a shell would say of it.
    if ((error as NodeJS.ErrnoException).syscall === 'execve') cannotRun(program, error);
    throw new NotRecordable(
      EX_UNAVAILABLE,
      `cannot hand the session over: ${(error as Error).message}`,
      error,
    );
  }
}

/** Said to ttyspyd, recorded as claims. Text that is not UTF-8 is shown as well as it can be. */
function claimsOf(launch: Launch, program: Program): Claims {
  const text = (bytes: string) => Buffer.from(bytes, 'latin1').toString();
  const claims: Record<string, string> = {};
  for (const [claim, variable] of CLAIMED) {
    const value = launch.env.get(variable);
    if (value !== undefined) claims[claim] = text(value);
  }
  return { ...claims, argv: program.argv.map(text) };
}

const CLAIMED = [
  ['ssh_tty', 'SSH_TTY'],
  ['ssh_client', 'SSH_CLIENT'],
  ['ssh_connection', 'SSH_CONNECTION'],
  ['ssh_original_command', 'SSH_ORIGINAL_COMMAND'],
  ['term', 'TERM'],
  ['lang', 'LANG'],
] as const;

/** The session cannot be recorded: no shell, or (on_failure open) one that everybody knows is not recorded. */
async function refuse(
  failure: NotRecordable,
  conf: TtyspyConf,
  launch: Launch,
  program: Program,
): Promise<void> {
  const who = `uid ${process.getuid?.()}`;
  if (conf.on_failure === 'open' && !(failure instanceof Refused)) {
    tell(`this session is NOT RECORDED: ${failure.message}`);
    await report('warning', `session of ${who} is not recorded (on_failure open): ${failure.message}`);
    becomeOrExit(program, launch);
  }
  tell(
    `${failure.message}; access is refused, since sessions here must be recorded. Tell your administrator.`,
  );
  await report('err', `session of ${who} refused: ${failure.message}`);
  process.exitCode = failure.status;
}

function becomeOrExit(program: Program, launch: Launch): never {
  try {
    become(program, launch, [0, 1, 2], []);
  } catch (error) {
    cannotRun(program, error);
  }
}

/** Exit statuses as shells have them. */
function cannotRun(program: Program, error: unknown): never {
  const missing = errorCode(error) === 'ENOENT';
  tell(`${program.path}: ${missing ? 'there is no such program' : `cannot be run (${errorCode(error)})`}`);
  process.exit(missing ? 127 : 126);
}

main().catch(async (error: Error) => {
  tell(error.message);
  await report('err', `session of uid ${process.getuid?.()} refused: ${error.message}`);
  process.exitCode = error instanceof UsageError ? EX_USAGE : EX_CONFIG;
});

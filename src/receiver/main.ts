/** ttyspy-receiver: takes sessions over HTTPS from bastions that prove who they are, and keeps them in the archive. */
import { accessSync, constants, statSync } from 'node:fs';
import { dumpReceiverConf, type ReceiverConf } from '../config/receiver_conf.ts';
import { ConfigError, ConfigFileError, loadReceiverConf } from '../os/config_file.ts';
import { createLog } from '../os/log.ts';
import { takeListenFds } from '../os/systemd.ts';
import { type Arguments, configurationOf, parseArguments, USAGE, UsageError } from './arguments.ts';
import type { ListenTarget } from './server.ts';
import { ReceiverService, tlsPaths } from './service.ts';
import { loadTlsMaterial, type TlsMaterial, TlsMaterialError } from './tls_material.ts';

/** sysexits.h */
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_SOFTWARE = 70;
const EX_NOPERM = 77;
const EX_CONFIG = 78;

/** Threads that wait for the disk; the kernel makes one write of syncs that wait together. */
process.env['UV_THREADPOOL_SIZE'] ??= '16';
process.umask(0o027);

function fail(status: number, problem: string): never {
  process.stderr.write(`ttyspy-receiver: ${problem}\n`);
  process.exit(status);
}

function readArguments(): Arguments {
  try {
    return parseArguments(process.argv.slice(2));
  } catch (error) {
    return fail(EX_USAGE, `${(error as Error).message}\n${USAGE}`);
  }
}

function configuration(args: Arguments): ReceiverConf {
  try {
    return configurationOf(args, loadReceiverConf);
  } catch (error) {
    if (error instanceof UsageError) return fail(EX_USAGE, error.message);
    if (error instanceof ConfigError || error instanceof ConfigFileError)
      return fail(EX_CONFIG, error.message);
    throw error;
  }
}

function certificates(conf: ReceiverConf): TlsMaterial {
  try {
    return loadTlsMaterial(tlsPaths(conf));
  } catch (error) {
    if (error instanceof TlsMaterialError) return fail(EX_CONFIG, error.message);
    throw error;
  }
}

function checkStore(store: string): void {
  try {
    if (!statSync(store).isDirectory()) fail(EX_CONFIG, `${store} (store): is not a directory`);
    accessSync(store, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      fail(EX_CONFIG, `${store} (store): there is no such directory; create it for this user`);
    fail(EX_NOPERM, `${store} (store): this user must be able to read and write it (${code})`);
  }
}

/** Systemd's socket, where there is one, goes before the configuration. */
function listenTarget(conf: ReceiverConf): ListenTarget {
  const [socket, ...more] = takeListenFds();
  if (more.length > 0)
    fail(EX_CONFIG, 'systemd passed more than one socket; have one ListenStream= in the unit');
  return socket ? { fd: socket.fd } : conf.listen;
}

async function start(service: ReceiverService, target: ListenTarget): Promise<void> {
  try {
    await service.start(target);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const where = 'fd' in target ? "systemd's socket" : `${target.host ?? '*'}:${target.port}`;
    if (code === 'EACCES') fail(EX_NOPERM, `${where}: not permitted to listen there`);
    fail(EX_UNAVAILABLE, `${where}: cannot listen there: ${message}`);
  }
}

const args = readArguments();
if (args.switches.has('h') || args.switches.has('help')) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const conf = configuration(args);
if (args.switches.has('T')) {
  process.stdout.write(dumpReceiverConf(conf));
  process.exit(0);
}
const material = certificates(conf);
checkStore(conf.store);
if (args.switches.has('n')) process.exit(0);

const log = createLog('ttyspy-receiver');
const broken = (error: unknown): never => {
  // Our own broken invariant: the files are as of their last commit points, the service manager starts us again.
  log.fatal({ cause: (error as Error)?.stack ?? String(error) }, 'internal error');
  process.exit(EX_SOFTWARE);
};
process.on('uncaughtException', broken).on('unhandledRejection', broken);
// A file that may not grow (RLIMIT_FSIZE) is an error of its write.
process.on('SIGXFSZ', () => {});

const service = new ReceiverService(conf, material, log);
start(service, listenTarget(conf)).then(() => {
  process.on('SIGHUP', () => service.reload());
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void service.stop().then(() => process.exit(0), broken));
  }
}, broken);

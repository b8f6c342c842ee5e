/** ttyspyd: takes sessions from ttyspy, relays and records them. See ttyspyd(8), src/README.md. */
import { chownSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { dumpTtyspyConf, type TtyspyConf } from '../config/ttyspy_conf.ts';
import { loadTtyspyConf } from '../os/config_file.ts';
import { createLog, type Log } from '../os/log.ts';
import { native } from '../os/native.ts';
import { type PasswdEntry, passwdByName, passwdByUid } from '../os/passwd.ts';
import { dropPrivileges } from '../os/privileges.ts';
import { ServiceManager, takeListenFds } from '../os/systemd.ts';
import { parseOptions, USAGE } from './options.ts';
import { closeOrphans } from './orphans.ts';
import { Server } from './server.ts';
import { makeSocket, takeSocket } from './socket.ts';
import { Spool } from './spool.ts';
import { UplinkProcess } from './uplink_process.ts';

const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_CONFIG = 78;

/** How often systemd's status line is renewed. */
const STATUS_MS = 5_000;

/** Prints it and ends: the process cannot begin. */
function fail(status: number, message: string): never {
  process.stderr.write(`ttyspyd: ${message}\n`);
  process.exit(status);
}

function attempt<T>(status: number, step: () => T): T {
  try {
    return step();
  } catch (error) {
    fail(status, (error as Error).message);
  }
}

/** The account of the configuration; the process is it, or is root and can become it. */
function account(conf: TtyspyConf): PasswdEntry {
  const entry =
    passwdByName(conf.username) ?? fail(EX_CONFIG, `username: there is no account ${conf.username}`);
  const uid = process.getuid?.();
  if (uid !== 0 && uid !== entry.uid) {
    const name = passwdByUid(uid ?? -1)?.name ?? `uid ${uid}`;
    fail(
      EX_CONFIG,
      `runs as ${name}, but username is ${conf.username}; start it as root or as ${conf.username}`,
    );
  }
  return entry;
}

/** What only root can do: the spool's directory and the socket; then root is given up. */
function prepare(conf: TtyspyConf, entry: PasswdEntry): number {
  const passed = takeListenFds();
  const listener = passed.length > 0 ? takeSocket(passed) : makeSocket(conf.socket);
  if (process.getuid?.() === 0) {
    mkdirSync(conf.spool_path, { recursive: true, mode: 0o700 });
    chownSync(conf.spool_path, entry.uid, entry.gid);
    dropPrivileges(entry);
  }
  // Terminals of others are open here: nobody traces this process, not even the same account.
  native.setDumpable(0);
  return listener;
}

function run(conf: TtyspyConf, configFile: string | undefined): void {
  const entry = account(conf);
  const listener = attempt(EX_UNAVAILABLE, () => prepare(conf, entry));
  process.umask(0o077);
  const log = createLog('ttyspyd');
  const spool = attempt(EX_UNAVAILABLE, () => new Spool(conf));
  closeOrphans(spool.path, log);
  const server = new Server(conf, log, spool, listener);
  const systemd = new ServiceManager();
  const uplink = process.env['NOTIFY_SOCKET'] ? null : new UplinkProcess(configFile, log);
  const status = () => systemd.status(`${server.sessions} sessions, ${spool.bytes} bytes in the spool`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void stop(server, uplink, systemd, log));
  }
  // The terminal it was started from may close; the sessions go on.
  process.on('SIGHUP', () => {});
  systemd.ready();
  status();
  setInterval(status, STATUS_MS).unref();
  log.info({ socket: conf.socket, spool: spool.path, uid: process.getuid?.() }, 'ready');
}

/** Sessions end with a word in their record, and the uplink has a moment to send it. */
async function stop(
  server: Server,
  uplink: UplinkProcess | null,
  systemd: ServiceManager,
  log: Log,
): Promise<void> {
  systemd.stopping();
  server.close();
  log.info({ sessions: server.sessions }, 'stopping');
  for (let wait = 0; server.sessions > 0 && wait < 30; wait++)
    await new Promise(next => setTimeout(next, 100));
  await uplink?.stop();
  process.exit(0);
}

const options = attempt(EX_USAGE, () => {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`);
  }
});
// The uplink is started with the same file, from wherever.
const configFile = options.config === undefined ? undefined : resolve(options.config);
const conf = attempt(EX_CONFIG, () => loadTtyspyConf(configFile));
if (options.dump) process.stdout.write(dumpTtyspyConf(conf));
else if (options.check) account(conf);
else run(conf, configFile);

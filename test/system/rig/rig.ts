/**
 * A whole site on one machine, with the real programs: a bastion (sshd, ttyspyd as daemon, its uplink), an archive host
 * (the receiver as nobody), an authority, and users. All of it is made for one test and removed with it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePort, untilListening } from '../../bench/port.ts';
import { descendants } from '../../bench/processes.ts';
import { type Account, Accounts, kill } from './accounts.ts';
import { Archive } from './archive.ts';
import { type Checkout, missing, reachableCheckout } from './needs.ts';
import { ENV, must, type Ran, run, until } from './run.ts';
import { Terminal } from './terminal.ts';

/** The name under which the archive knows the bastion. */
export const HOST = 'bastion.test';

export interface Destination {
  readonly user: Account;
  /** Of an sshd; default: the one whose ForceCommand is ttyspy. */
  readonly port?: number;
  /** More of ssh's options. */
  readonly options?: readonly string[];
}

export class Rig {
  readonly directory: string;
  readonly accounts: Accounts;
  readonly archive: Archive;
  readonly checkout: string;
  /** sshd with ForceCommand, and one without. */
  recorded = 0;
  bare = 0;
  receiverPort = 0;
  readonly #release: Checkout['release'];
  readonly #children = new Map<string, ChildProcess>();
  readonly #undo: (() => void)[] = [];
  #stopped = false;

  /**
   * Starts the site, and has it removed at the end of the test. Where the machine is not fit for it the test is skipped,
   * or, in CI, fails.
   * @param lines of ttyspy.conf, beside those that the rig needs itself
   */
  static async start(lines: readonly string[] = []): Promise<Rig> {
    const problem = missing();
    if (problem !== null) {
      if (process.env['CI']) throw new Error(`test:system ${problem}`);
      t.plan(0, problem);
      process.exit(0);
    }
    const rig = new Rig();
    // Also when the test throws, runs into its limit, or is interrupted.
    process.once('exit', () => rig.stop());
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => process.exit(1));
    t.teardown(() => rig.stop());
    await rig.#makeCertificates();
    await rig.startReceiver();
    rig.configure('ttyspy.conf', lines);
    await rig.startDaemon();
    rig.recorded = await rig.sshd('recorded', [`ForceCommand exec ${rig.client('ttyspy.conf')}`]);
    rig.bare = await rig.sshd('bare', []);
    return rig;
  }

  private constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'ttyspy-system-'));
    chmodSync(this.directory, 0o755);
    const janitor = join(import.meta.dirname, 'janitor.ts');
    spawn(process.execPath, [janitor, this.directory], {
      env: ENV,
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    }).unref();
    const { path, release } = reachableCheckout(this.directory);
    this.checkout = path;
    this.#release = release;
    for (const name of ['home', 'run', 'store', 'spool']) mkdirSync(this.path(name));
    chownSync(this.path('store'), idOf('-u', 'nobody'), idOf('-g', 'nobody'));
    this.accounts = new Accounts(this.path('home'));
    this.archive = new Archive(this.path('store'), this.path('spool'));
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', this.path('key')]);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', this.path('hostkey')]);
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** A program of the checkout. */
  program(name: string): string {
    return join(this.checkout, 'src', name);
  }

  /** ttyspy with a configuration, as words of a command. */
  client(configuration: string): string {
    return `${this.program('client/ttyspy')} -c ${this.path(configuration)}`;
  }

  /** Writes a ttyspy.conf. A directive among `lines` takes the place of the rig's own. */
  configure(name: string, lines: readonly string[] = []): string {
    const own = [
      'username daemon',
      `socket ${this.path('run/ttyspy.sock')}`,
      `endpoint https://localhost:${this.receiverPort}`,
      `ca_path ${this.path('ca.pem')}`,
      `cert_path ${this.path('bastion.pem')}`,
      `key_path ${this.path('bastion.key')}`,
      `spool_path ${this.path('spool')}`,
      `hostname ${HOST}`,
    ].filter(line => !lines.some(other => other.split(' ')[0] === line.split(' ')[0]));
    writeFileSync(this.path(name), [...own, ...lines, ''].join('\n'));
    return this.path(name);
  }

  async startDaemon(): Promise<void> {
    // Each line of its own, so that the log of an earlier one says nothing of this one.
    const before = this.log('ttyspyd').length;
    this.#start('ttyspyd', [this.program('daemon/ttyspyd'), '-c', this.path('ttyspy.conf')]);
    await until('ttyspyd ready', () => this.log('ttyspyd').slice(before).includes('"msg":"ready"'));
  }

  async stopDaemon(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const pids = [this.pid('ttyspyd'), ...descendants(this.pid('ttyspyd'))];
    await this.#stop('ttyspyd', signal);
    await until('ttyspyd and uplink gone', () => pids.every(pid => !existsSync(`/proc/${pid}`)));
  }

  async startReceiver(): Promise<void> {
    this.receiverPort ||= await freePort();
    const lines = [
      `listen 127.0.0.1:${this.receiverPort}`,
      `store ${this.path('store')}`,
      `ca_path ${this.path('ca.pem')}`,
      `cert_path ${this.path('receiver.pem')}`,
      `key_path ${this.path('receiver.key')}`,
      'min_free 1M',
      '',
    ];
    writeFileSync(this.path('receiver.conf'), lines.join('\n'));
    const account = { uid: idOf('-u', 'nobody'), gid: idOf('-g', 'nobody') };
    this.#start(
      'receiver',
      [this.program('receiver/ttyspy-receiver'), '-c', this.path('receiver.conf')],
      account,
    );
    await untilListening(this.receiverPort);
  }

  stopReceiver(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    return this.#stop('receiver', signal);
  }

  /**
   * Starts an sshd on loopback.
   * @param before shell commands that change what it starts with
   * @returns its port
   */
  async sshd(name: string, lines: readonly string[], before = ':'): Promise<number> {
    const port = await freePort();
    mkdirSync('/run/sshd', { recursive: true });
    const config = [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${this.path('hostkey')}`,
      `AuthorizedKeysFile ${this.path('key.pub')}`,
      `PidFile ${this.path(`${name}.pid`)}`,
      'UsePAM yes',
      'StrictModes no',
      'LogLevel ERROR',
      'PrintMotd no',
      'PrintLastLog no',
      'MaxStartups 1000',
      'AcceptEnv LANG LC_* NODE_* TEST_* TTYSPY_*',
      'PermitRootLogin yes',
      ...(lines.some(line => line.startsWith('Subsystem')) ? [] : ['Subsystem sftp internal-sftp']),
      ...lines,
      '',
    ];
    writeFileSync(this.path(`${name}.sshd`), config.join('\n'));
    this.#start(name, [
      '/bin/sh',
      '-c',
      `${before}; exec /usr/sbin/sshd -D -e -f ${this.path(`${name}.sshd`)}`,
    ]);
    await untilListening(port);
    return port;
  }

  /** Options with which ssh, scp, sftp and rsync reach an sshd of the rig. `portFlag` is scp's and sftp's -P. */
  sshOptions({ port = this.recorded, options = [] }: Omit<Destination, 'user'>, portFlag = '-p'): string[] {
    const o = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'LogLevel=ERROR',
      'IdentityAgent=none',
    ];
    const common = ['-F', 'none', '-i', this.path('key'), portFlag, String(port)];
    return [...common, ...o.flatMap(option => ['-o', option]), ...options];
  }

  sshCommand(to: Destination, command: readonly string[] = []): string[] {
    return ['ssh', ...this.sshOptions(to), `${to.user.name}@127.0.0.1`, ...command];
  }

  /** A command without a terminal. */
  ssh(to: Destination, command: string, input?: Uint8Array | string, env = ENV): Promise<Ran> {
    const argv = this.sshCommand({ ...to, options: ['-T', ...(to.options ?? [])] }, [command]);
    return run(argv, { env, ...(input !== undefined && { input }) });
  }

  /** A terminal on which the user logs in; a command may be given. */
  login(
    to: Destination,
    command: readonly string[] = [],
    size?: { rows: number; columns: number },
  ): Terminal {
    return new Terminal(this.sshCommand({ ...to, options: ['-tt', ...(to.options ?? [])] }, command), size);
  }

  /** What a process of the rig said so far. */
  log(name: string): string {
    const file = this.path(`${name}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  pid(name: string): number {
    return this.#children.get(name)?.pid ?? 0;
  }

  /** Something to put back at the end, whatever happens. The last one first. */
  undo(step: () => void): void {
    this.#undo.push(step);
  }

  /** Stops everything and removes it. Synchronous, so that it works while the process exits; only the first call counts. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const steps = [
      ...this.#undo.toReversed(),
      () => {
        const pids = [...this.#children.values()].flatMap(child => (child.pid ? [child.pid] : []));
        for (const pid of pids.flatMap(pid => [pid, ...descendants(pid)])) kill(pid);
      },
      () => this.accounts.remove(),
      this.#release,
      () => rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 }),
    ];
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        process.stderr.write(`rig: not put back: ${String(error)}\n`);
      }
    }
  }

  async #makeCertificates(): Promise<void> {
    const ctl = (...args: string[]) =>
      must([this.program('ctl/ttyspyctl'), 'pki', ...args, '--dir', this.path('pki')]);
    await ctl('init');
    await ctl('server', 'localhost');
    await ctl('client', HOST);
    this.#install('pki/ca.pem', 'ca.pem', 'root', 0o644);
    this.#install('pki/server-localhost.pem', 'receiver.pem', 'root', 0o644);
    this.#install('pki/server-localhost.key', 'receiver.key', 'nobody', 0o600);
    this.#install(`pki/client-${HOST}.pem`, 'bastion.pem', 'root', 0o644);
    this.#install(`pki/client-${HOST}.key`, 'bastion.key', 'daemon', 0o600);
  }

  #install(from: string, to: string, owner: string, mode: number): void {
    copyFileSync(this.path(from), this.path(to));
    chownSync(this.path(to), idOf('-u', owner), idOf('-g', owner));
    chmodSync(this.path(to), mode);
  }

  #start(name: string, argv: readonly string[], account: { uid?: number; gid?: number } = {}): void {
    const log = openSync(this.path(`${name}.log`), 'a');
    const stdio = ['ignore', log, log] as const;
    const child = spawn(argv[0] as string, argv.slice(1), {
      env: ENV,
      cwd: '/',
      stdio: [...stdio],
      ...account,
    });
    child.on('error', error => t.fail(`${name} does not start: ${error.message}`));
    this.#children.set(name, child);
  }

  async #stop(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#children.get(name);
    this.#children.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }
}

/** Uid or gid of an account of this machine. */
export function idOf(flag: '-u' | '-g', account: string): number {
  return Number(execFileSync('id', [flag, account], { encoding: 'utf8' }));
}

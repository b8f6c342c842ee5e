/** sudo(8) with log_output, its sessions sent to a sudo_logsrvd(8) on this host. Debian builds both without TLS. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Contender, findProgram, ON_ANOTHER_HOST, withMounts } from './contender.ts';
import { freePort, untilListening } from './port.ts';
import type { Scratch } from './scratch.ts';

export class Sudo implements Contender {
  readonly name = 'sudo';
  readonly #scratch: Scratch;
  #server: ChildProcess | null = null;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  missing(): string | null {
    if (!findProgram('sudo') || !findProgram('sudo_logsrvd')) return 'sudo is not installed (Debian: sudo)';
    if (process.getuid?.() !== 0) return 'sudo needs a sudoers file of ours, which takes root';
    // sudo reads /etc/sudoers and nothing else. Ours is mounted over it where only the measured sudo sees it.
    if (spawnSync('unshare', ['--mount', 'true']).status !== 0)
      return 'sudo needs a mount namespace, not allowed here';
    return null;
  }

  async start(): Promise<void> {
    const port = await freePort();
    this.#write('sudoers', 0o440, [
      `Defaults log_output, use_pty, log_servers=127.0.0.1:${port}, !fqdn, !syslog`,
      'root ALL=(ALL:ALL) NOPASSWD: ALL',
    ]);
    this.#write('logsrvd.conf', 0o600, [
      '[server]',
      `listen_address = 127.0.0.1:${port}`,
      `pid_file = ${this.#scratch.path('logsrvd.pid')}`,
      'server_log = stderr',
      '[iolog]',
      `iolog_dir = ${this.#records()}`,
      '[eventlog]',
      'log_type = none',
    ]);
    mkdirSync(this.#records(), { recursive: true });
    const program = findProgram('sudo_logsrvd') as string;
    // Five files and a socket a session: more than the usual 1024 descriptors.
    const command = 'ulimit -n "$(ulimit -Hn)" && exec "$@"';
    this.#server = this.#scratch.start(
      [
        ...ON_ANOTHER_HOST,
        'sh',
        '-c',
        command,
        'sh',
        program,
        '-n',
        '-f',
        this.#scratch.path('logsrvd.conf'),
      ],
      { stdio: ['ignore', 'ignore', this.#scratch.log(this.name)] },
    );
    await untilListening(port);
  }

  async stop(): Promise<void> {
    if (!this.#server) return;
    const ended = once(this.#server, 'close');
    this.#server.kill();
    await ended;
    this.#server = null;
  }

  daemons(): number[] {
    return this.#server?.pid ? [this.#server.pid] : [];
  }

  host(): number[] {
    return [];
  }

  command(payload: readonly string[]): string[] {
    return [findProgram('sudo') as string, ...payload];
  }

  around(drive: readonly string[]): string[] {
    return withMounts(`mount --bind '${this.#scratch.path('sudoers')}' /etc/sudoers`, drive);
  }

  /** sudo itself waits for the server's last commit point. */
  async settle(): Promise<void> {}

  async recordedSha256(): Promise<string> {
    const file = globSync(`${this.#records()}/**/ttyout`)[0] as string;
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  }

  forget(): void {
    rmSync(this.#records(), { recursive: true, force: true });
    mkdirSync(this.#records(), { recursive: true });
  }

  #records(): string {
    return this.#scratch.path('sudo');
  }

  #write(name: string, mode: number, lines: string[]): void {
    rmSync(this.#scratch.path(name), { force: true });
    writeFileSync(this.#scratch.path(name), `${lines.join('\n')}\n`, { mode });
  }
}

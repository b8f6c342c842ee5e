/** The whole chain of ttyspy: client, ttyspyd, spool, uplink, TLS 1.3 on loopback, receiver, archive. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createAuthority, type Identity, issueClient, issueServer } from '../../src/ctl/pki/certificates.ts';
import { parseSpoolName } from '../../src/session/spool.ts';
import { type Contender, ON_ANOTHER_HOST } from './contender.ts';
import { freePort, untilListening } from './port.ts';
import { descendants } from './processes.ts';
import type { Scratch } from './scratch.ts';

/** Makes the tree that packages install: what is measured is what an admin gets. */
const BUNDLE = fileURLToPath(new URL('../../packaging/bundle.ts', import.meta.url));
/** Built by packaging/setup. */
const ADDON = fileURLToPath(new URL('../../src/native/build/Release/ttyspy.node', import.meta.url));

/** Longest that the record of one measurement may take to be complete, milliseconds. */
const SETTLE = 60_000;

export class Ttyspy implements Contender {
  readonly name = 'ttyspy';
  readonly #scratch: Scratch;
  #daemon: ChildProcess | null = null;
  #receiver: ChildProcess | null = null;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  missing(): string | null {
    return existsSync(ADDON) ? null : `${ADDON} is not there; npm run setup builds it`;
  }

  async start(): Promise<void> {
    const port = await freePort();
    if (!existsSync(this.#path('installed'))) {
      execFileSync(process.execPath, [BUNDLE, this.#path('installed')], { stdio: 'inherit' });
    }
    if (!existsSync(this.#path('bastion.crt'))) await this.#makeCertificates();
    this.#configure(port);
    this.#receiver = this.#start([
      ...ON_ANOTHER_HOST,
      this.#path('installed', 'receiver', 'ttyspy-receiver'),
      '-c',
      this.#path('receiver.conf'),
    ]);
    await untilListening(port);
    this.#daemon = this.#start([
      this.#path('installed', 'daemon', 'ttyspyd'),
      '-c',
      this.#path('ttyspy.conf'),
    ]);
    await this.#untilAccepting();
  }

  async stop(): Promise<void> {
    const uplink = this.host().slice(1);
    for (const child of [this.#daemon, this.#receiver]) {
      if (!child || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'close');
      child.kill();
      await ended;
    }
    for (let i = 0; i < 100 && uplink.some(pid => existsSync(`/proc/${pid}`)); i++) await sleep(50);
    this.#daemon = null;
    this.#receiver = null;
  }

  host(): number[] {
    const pid = this.#daemon?.pid;
    return pid ? [pid, ...descendants(pid)] : [];
  }

  daemons(): number[] {
    return this.#receiver?.pid ? [...this.host(), this.#receiver.pid] : this.host();
  }

  command(payload: readonly string[]): string[] {
    return [this.#path('installed', 'client', 'ttyspy'), '-c', this.#path('ttyspy.conf'), ...payload];
  }

  around(drive: readonly string[]): string[] {
    return [...drive];
  }

  /** The uplink removes a session from the spool when the archive has acknowledged all of it. */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE;
    while (readdirSync(this.#path('spool')).some(name => parseSpoolName(name))) {
      if (performance.now() > deadline) throw new Error('ttyspy: sessions stay in the spool');
      await sleep(2);
    }
  }

  async recordedSha256(): Promise<string> {
    const files = globSync(`${this.#path('store')}/**/transcript_*`).filter(
      file => !/\.(?:timing|json|input)$/.test(file),
    );
    if (files.length !== 1) throw new Error(`ttyspy: ${files.length} transcripts of one session`);
    const transcript = readFileSync(files[0] as string);
    const output = transcript.subarray(
      transcript.indexOf('\n\n\n') + 3,
      transcript.lastIndexOf('\n\nSession ended: '),
    );
    return createHash('sha256').update(output).digest('hex');
  }

  forget(): void {
    for (const name of readdirSync(this.#path('store'))) {
      rmSync(`${this.#path('store')}/${name}`, { recursive: true, force: true });
    }
  }

  #path(...names: string[]): string {
    return this.#scratch.path('ttyspy', ...names);
  }

  #start(argv: string[]): ChildProcess {
    return this.#scratch.start(argv, { stdio: ['ignore', 'ignore', this.#scratch.log(this.name)] });
  }

  async #untilAccepting(): Promise<void> {
    for (let i = 0; i < 400; i++) {
      if (this.#daemon?.exitCode !== null) throw new Error('ttyspyd did not start');
      const socket = connect(this.#path('run', 'socket'));
      try {
        await once(socket, 'connect');
        return;
      } catch {
        await sleep(50);
      } finally {
        socket.destroy();
      }
    }
    throw new Error('ttyspyd does not listen');
  }

  async #makeCertificates(): Promise<void> {
    for (const name of ['', 'spool', 'store', 'run'])
      mkdirSync(this.#path(name), { recursive: true, mode: 0o755 });
    const authority = await createAuthority('ttyspy bench');
    writeFileSync(this.#path('ca.crt'), authority.certificate);
    this.#writeIdentity('archive', await issueServer(authority, ['127.0.0.1']));
    this.#writeIdentity('bastion', await issueClient(authority, ['bench']));
  }

  #writeIdentity(name: string, identity: Identity): void {
    writeFileSync(this.#path(`${name}.crt`), identity.certificate);
    writeFileSync(this.#path(`${name}.key`), identity.key, { mode: 0o600 });
  }

  #configure(port: number): void {
    const account = this.#account();
    for (const name of ['spool', 'bastion.key']) chownSync(this.#path(name), account.uid, account.gid);
    writeLines(this.#path('ttyspy.conf'), [
      `username ${account.name}`,
      `socket ${this.#path('run', 'socket')}`,
      `endpoint https://127.0.0.1:${port}/`,
      `ca_path ${this.#path('ca.crt')}`,
      `cert_path ${this.#path('bastion.crt')}`,
      `key_path ${this.#path('bastion.key')}`,
      `spool_path ${this.#path('spool')}`,
      'hostname bench',
      'record_root yes',
      'max_sessions_per_user 4096',
    ]);
    writeLines(this.#path('receiver.conf'), [
      `listen 127.0.0.1:${port}`,
      `store ${this.#path('store')}`,
      `ca_path ${this.#path('ca.crt')}`,
      `cert_path ${this.#path('archive.crt')}`,
      `key_path ${this.#path('archive.key')}`,
    ]);
  }

  /** Who ttyspyd becomes: as installed the account `daemon`; without root, who runs the bench. */
  #account(): { name: string; uid: number; gid: number } {
    const { username, uid, gid } = userInfo();
    if (uid !== 0) return { name: username, uid, gid };
    const id = (what: string) => Number(execFileSync('id', [what, 'daemon'], { encoding: 'utf8' }));
    return { name: 'daemon', uid: id('-u'), gid: id('-g') };
  }
}

function writeLines(file: string, lines: string[]): void {
  writeFileSync(file, `${lines.join('\n')}\n`);
}

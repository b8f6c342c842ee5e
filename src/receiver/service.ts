/** The receiver as a running service: server, certificates that change, sessions that are swept, service manager. */
import type { ReceiverConf } from '../config/receiver_conf.ts';
import type { Log } from '../os/log.ts';
import { ServiceManager } from '../os/systemd.ts';
import type { Archive } from './archive.ts';
import { limitsOf, type ReceiverLimits } from './limits.ts';
import { ArchiveServer, type ListenTarget } from './server.ts';
import { Sessions } from './sessions.ts';
import { Space } from './space.ts';
import { loadTlsMaterial, stampOf, type TlsMaterial, type TlsPaths } from './tls_material.ts';
import { finishLeftovers } from './unfinished.ts';

/** How often the files of certificates and revocations are looked at, and sessions swept, milliseconds. */
const LOOK_MS = 5_000;

export function tlsPaths(conf: ReceiverConf): TlsPaths {
  return { ca: conf.ca_path, cert: conf.cert_path, key: conf.key_path, crl: conf.crl_path };
}

export class ReceiverService {
  readonly #archive: Archive;
  readonly #server: ArchiveServer;
  readonly #paths: TlsPaths;
  readonly #manager = new ServiceManager();
  #stamp: string;
  #timer: NodeJS.Timeout | null = null;

  /** @param material what `loadTlsMaterial` read of the configuration's paths */
  constructor(conf: ReceiverConf, material: TlsMaterial, log: Log, limits: ReceiverLimits = limitsOf(conf)) {
    this.#archive = {
      store: conf.store,
      hostnameCheck: conf.hostname_check,
      limits,
      sessions: new Sessions(conf.store, limits),
      space: new Space(conf.store, conf.min_free),
      log,
    };
    this.#paths = tlsPaths(conf);
    this.#stamp = material.stamp;
    this.#server = new ArchiveServer(this.#archive, material);
  }

  /** @returns the port */
  async start(target: ListenTarget): Promise<number | null> {
    await finishLeftovers(this.#archive.store, this.#archive.log);
    const port = await this.#server.listen(target);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#manager.ready();
    this.#manager.status(this.#status());
    this.#archive.log.info({ port, store: this.#archive.store }, 'listening');
    return port;
  }

  async stop(): Promise<void> {
    this.#manager.stopping();
    if (this.#timer) clearInterval(this.#timer);
    await this.#server.close();
    this.#archive.log.info('stopped');
  }

  /** Reads certificates and revocations again. Unless all of them are good, those before stay in use. */
  reload(): void {
    const stamp = stampOf(this.#paths);
    try {
      const material = loadTlsMaterial(this.#paths);
      this.#server.renew(material);
      this.#archive.log.info('certificates and revocations read again');
    } catch (error) {
      this.#archive.log.error(
        `still with the certificates and revocations of before: ${(error as Error).message}`,
      );
    }
    this.#stamp = stamp;
  }

  #look(): void {
    if (stampOf(this.#paths) !== this.#stamp) this.reload();
    this.#archive.sessions.sweep();
    this.#manager.status(this.#status());
  }

  #status(): string {
    return `${this.#archive.sessions.size} sessions, ${this.#server.connections} connections`;
  }
}

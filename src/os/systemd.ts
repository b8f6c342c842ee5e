/** What systemd and a daemon say to one another: sockets passed in, readiness, status, watchdog. */
import { createRequire } from 'node:module';

interface SdNotify {
  sendState(state: string): void;
  /** Milliseconds between the pings systemd expects, 0 when it expects none. */
  watchdogInterval(): number;
  watchdog(): void;
}

export interface ListenFd {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit; `unknown` where systemd gave none. */
  readonly name: string;
}

/** First descriptor that is passed (SD_LISTEN_FDS_START, sd_listen_fds(3)). */
const FIRST = 3;

/**
 * Takes the descriptors that systemd passed to this process, and their names, out of the environment, so that no
 * child takes them for its own.
 */
export function takeListenFds(env: NodeJS.ProcessEnv = process.env): ListenFd[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  delete env['LISTEN_PID'];
  delete env['LISTEN_FDS'];
  delete env['LISTEN_FDNAMES'];
  delete env['LISTEN_PIDFDID'];
  if (LISTEN_PID !== String(process.pid)) return [];
  const names = LISTEN_FDNAMES?.split(':') ?? [];
  return Array.from({ length: Number(LISTEN_FDS) || 0 }, (_, i) => ({
    fd: FIRST + i,
    name: names[i] || 'unknown',
  }));
}

/** The service manager's ear. Without systemd (no NOTIFY_SOCKET) everything here does nothing. */
export class ServiceManager {
  readonly #sd: SdNotify | null = process.env['NOTIFY_SOCKET'] ? loadSdNotify() : null;
  #status = '';

  ready(): void {
    this.#sd?.sendState('READY=1');
    this.#watch();
  }

  stopping(): void {
    this.#sd?.sendState('STOPPING=1');
  }

  /** Sets the line that `systemctl status` shows; said only when it changed. */
  status(text: string): void {
    if (text === this.#status) return;
    this.#status = text;
    this.#sd?.sendState(`STATUS=${text}`);
  }

  #watch(): void {
    const interval = this.#sd?.watchdogInterval() ?? 0;
    // Half the interval, as sd_watchdog_enabled(3) advises: a turn of the event loop may come late.
    if (interval > 0) setInterval(() => this.#sd?.watchdog(), interval / 2).unref();
  }
}

function loadSdNotify(): SdNotify {
  return createRequire(import.meta.url)('sd-notify') as SdNotify;
}

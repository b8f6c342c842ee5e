/** The uplink at work: follower, uploads and endpoints put together, and what signals and the parent's end do to them. */
import type { SecureContext } from 'node:tls';
import { createLog } from '../os/log.ts';
import { ServiceManager } from '../os/systemd.ts';
import { Endpoint } from './endpoint.ts';
import { EndpointChoice } from './endpoint_choice.ts';
import { whenParentEnds } from './parent.ts';
import { SpoolFollower } from './spool_follower.ts';
import { loadIdentity, type TlsFiles } from './tls_identity.ts';
import { Uploads } from './uploads.ts';

const STATUS_MS = 5_000;
/** For appends that run when the uplink is told to stop. The spool has what they do not bring home. */
const STOP_MS = 15_000;
/** For a last attempt to send when ttyspyd is gone. */
const LAST_MS = 4_000;

/**
 * Runs until a signal, or the parent's end, stops it.
 * @param files read again at SIGHUP
 * @param context made of them
 * @param child whether standard input is a pipe of ttyspyd's
 */
export function runUplink(
  spool: string,
  urls: readonly string[],
  files: TlsFiles,
  context: SecureContext,
  child: boolean,
): void {
  const log = createLog('ttyspy-uplink');
  const service = new ServiceManager();
  const choice = new EndpointChoice(urls.map(url => new Endpoint(url, context)));
  const uploads = new Uploads(spool, choice, session => follower.forget(session), log);
  const follower = new SpoolFollower(spool, session => uploads.offer(session), log);

  const status = (): void => {
    let backlog = 0;
    for (const session of follower.sessions.values()) backlog += session.backlog;
    service.status(`sessions ${follower.sessions.size}, backlog ${backlog} bytes`);
  };

  let stopping = false;
  const stop = async (reason: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    service.stopping();
    log.info({ reason }, 'stopping');
    follower.close();
    await within(STOP_MS, uploads.stop());
    for (const endpoint of choice.all) endpoint.close();
    process.exit(0);
  };
  const lastAttempt = async (): Promise<void> => {
    follower.scan();
    await within(LAST_MS, uploads.quiet());
    await stop('ttyspyd has ended');
  };
  const renew = (): void => {
    try {
      const renewed = loadIdentity(files);
      for (const endpoint of choice.all) endpoint.renew(renewed);
      log.info('certificates read again');
    } catch (error) {
      log.error({ problem: (error as Error).message }, 'certificates kept as they were');
    }
    uploads.retry();
  };

  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('SIGHUP', renew);
  if (child) whenParentEnds(() => void lastAttempt());
  follower.start();
  setInterval(status, STATUS_MS).unref();
  status();
  service.ready();
  log.info({ spool, endpoints: urls, sessions: follower.sessions.size }, 'following the spool');
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

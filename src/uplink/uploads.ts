/**
 * Which session is sent when: a few at a time, in turn, so that neither a failure nor the size of one holds up the
 * others.
 */
import { unlinkSync } from 'node:fs';
import type { Log } from '../os/log.ts';
import { backoff, HOPELESS_WAIT_MS } from './backoff.ts';
import { CONNECTIONS, type Endpoint } from './endpoint.ts';
import type { EndpointChoice } from './endpoint_choice.ts';
import { UploadFailure } from './failure.ts';
import { ResumableUploads, type Step } from './resumable_upload.ts';
import { type SpooledSession, spoolPath } from './spooled_session.ts';
import { TranscriptStreams } from './transcript_stream.ts';

/** A backlog beyond this, bytes, may use only half of the connections: keystrokes find another one free. */
const LARGE = 262_144;

export class Uploads {
  readonly #directory: string;
  readonly #choice: EndpointChoice;
  readonly #archived: (session: SpooledSession) => void;
  readonly #log: Log;
  readonly #resumable: ResumableUploads;
  readonly #transcripts: TranscriptStreams;
  readonly #queue: SpooledSession[] = [];
  readonly #waiting = new Set<SpooledSession>();
  #running = 0;
  #runningLarge = 0;
  #timer: NodeJS.Timeout | null = null;
  #due = Number.POSITIVE_INFINITY;
  #complaint = '';
  #stopped = false;
  #whenQuiet: (() => void)[] = [];

  /** @param archived is told each session that the archive has completely, after its file is gone */
  constructor(
    directory: string,
    choice: EndpointChoice,
    archived: (session: SpooledSession) => void,
    log: Log,
  ) {
    this.#directory = directory;
    this.#choice = choice;
    this.#archived = archived;
    this.#log = log;
    this.#resumable = new ResumableUploads(directory);
    this.#transcripts = new TranscriptStreams(directory, log, (session, endpoint, failure, began) => {
      this.#failed(session, endpoint, failure, began);
      this.offer(session);
    });
  }

  /** A session that has, or may have, something to send. */
  offer(session: SpooledSession): void {
    if (session.queued || this.#stopped) return;
    if (session.busy) {
      session.queued = true;
    } else if (session.notBefore > Date.now()) {
      this.#waiting.add(session);
      this.#arm(session.notBefore);
    } else {
      session.queued = true;
      this.#queue.push(session);
      this.#run();
    }
  }

  /** Asks again at once for everything that waits: somebody says that things have changed. */
  retry(): void {
    for (const session of this.#waiting) session.notBefore = 0;
    this.#wake();
  }

  /** Resolves when nothing is being sent and nothing could be: all is archived, waits, or has no endpoint. */
  quiet(): Promise<void> {
    return new Promise(resolve => {
      this.#whenQuiet.push(resolve);
      this.#tellQuiet();
    });
  }

  /** Begins nothing new. Resolves when what runs has come to its end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#queue.length = 0;
    this.#waiting.clear();
    if (this.#timer) clearTimeout(this.#timer);
    await this.quiet();
    this.#transcripts.close();
  }

  #run(): void {
    while (!this.#stopped && this.#queue.length > 0) {
      const endpoint = this.#choice.usable(Date.now());
      if (endpoint === null) {
        this.#arm(this.#choice.next);
        break;
      }
      // One attempt at a time shows whether an endpoint is back.
      if (this.#running >= (endpoint.failures > 0 ? 1 : CONNECTIONS)) break;
      const session = this.#next();
      if (session === null) break;
      void this.#send(session, endpoint);
    }
    this.#tellQuiet();
  }

  #next(): SpooledSession | null {
    const roomForLarge = this.#runningLarge < CONNECTIONS / 2;
    const index = this.#queue.findIndex(session => roomForLarge || session.backlog <= LARGE);
    return index < 0 ? null : (this.#queue.splice(index, 1)[0] ?? null);
  }

  async #send(session: SpooledSession, endpoint: Endpoint): Promise<void> {
    const large = session.backlog > LARGE;
    const began = Date.now();
    session.queued = false;
    session.busy = true;
    this.#running++;
    if (large) this.#runningLarge++;
    let step: Step = 'idle';
    try {
      const way = endpoint.kind === 'original' ? this.#transcripts : this.#resumable;
      step = await way.step(session, endpoint);
      if (endpoint.kind === 'resumable') this.#transcripts.drop(session);
      this.#succeeded(session, endpoint);
      if (step === 'complete') this.#remove(session, endpoint);
    } catch (error) {
      if (!(error instanceof UploadFailure)) throw error;
      this.#failed(session, endpoint, error, began);
      step = 'more';
    }
    this.#running--;
    if (large) this.#runningLarge--;
    session.busy = false;
    const again = session.queued || step === 'more';
    session.queued = false;
    if (again && !(step === 'complete')) this.offer(session);
    this.#run();
  }

  #succeeded(session: SpooledSession, endpoint: Endpoint): void {
    if (session.failures === 0) session.problem = '';
    if (this.#complaint === '' || endpoint.failures > 0) return;
    this.#complaint = '';
    this.#log.info({ endpoint: endpoint.name }, 'the archive is there again');
  }

  #remove(session: SpooledSession, endpoint: Endpoint): void {
    try {
      unlinkSync(spoolPath(this.#directory, session));
    } catch (error) {
      throw new UploadFailure(
        'hopeless',
        `archived, but its spool file cannot be removed: ${(error as Error).message}`,
      );
    }
    this.#log.info(
      { session: session.id, endpoint: endpoint.name, bytes: session.available },
      'session archived',
    );
    this.#archived(session);
  }

  #failed(session: SpooledSession, endpoint: Endpoint, failure: UploadFailure, began: number): void {
    const now = Date.now();
    if (failure.scope === 'stale') return;
    session.at = null;
    const strike = failure.scope === 'session' && endpoint.strike();
    if (failure.scope === 'endpoint' || strike) this.#endpointFailed(endpoint, failure, began);
    if (failure.scope === 'endpoint') return;
    session.failures++;
    const hopeless = failure.scope === 'hopeless';
    const wait = failure.wait ?? (hopeless ? HOPELESS_WAIT_MS : backoff(session.failures, Math.random()));
    session.notBefore = now + wait;
    if (failure.message === session.problem) return;
    session.problem = failure.message;
    const fields = { session: session.id, problem: failure.message, wait_ms: wait };
    if (hopeless) this.#log.error(fields, 'the archive does not take this session: its spool file is kept');
    else this.#log.warn(fields, 'upload interrupted');
  }

  #endpointFailed(endpoint: Endpoint, failure: UploadFailure, began: number): void {
    // Several requests that fail together are one failure.
    if (endpoint.failedAt >= began) return;
    const wait = endpoint.failed(Date.now(), failure.wait);
    if (failure.message === this.#complaint) return;
    this.#complaint = failure.message;
    this.#log.warn(
      { problem: failure.message, wait_ms: wait },
      'the archive cannot be reached: sessions wait in the spool',
    );
  }

  #arm(at: number): void {
    if (this.#stopped || at >= this.#due) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#due = at;
    this.#timer = setTimeout(() => this.#wake(), Math.max(1, at - Date.now()));
  }

  #wake(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#due = Number.POSITIVE_INFINITY;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const session of waiting) this.offer(session);
    this.#run();
  }

  #tellQuiet(): void {
    if (this.#running > 0 || this.#whenQuiet.length === 0) return;
    if (!this.#stopped && this.#queue.length > 0 && this.#choice.usable(Date.now()) !== null) return;
    for (const resolve of this.#whenQuiet.splice(0)) resolve();
  }
}

/** Uploads to a receiver of ours: create, append at an offset, go on from where it says (src/receiver/PROTOCOL.md). */
import { closeSync, readSync } from 'node:fs';
import { isOriginal, isSuccess, position, refusal } from './answers.ts';
import type { Endpoint } from './endpoint.ts';
import { type Answer, exchange, type Request } from './exchange.ts';
import { UploadFailure } from './failure.ts';
import { giveBuffer, takeBuffer } from './read_buffers.ts';
import { look, openSpool, readMetadata, type SpooledSession } from './spooled_session.ts';

/** What a step led to: `more` to do at once, `idle` until the file changes, `complete` in the archive. */
export type Step = 'more' | 'idle' | 'complete';

/** Bodies up to this size, bytes, are read at once instead of through a shared buffer. */
const SMALL = 65_536;
const LEAST_APPEND = 262_144;
const MOST_APPEND = 8_388_608;
/** An append takes a connection from the other sessions: its size follows the speed of the way. */
const QUICK_MS = 250;
const SLOW_MS = 1_000;

export class ResumableUploads {
  readonly #directory: string;
  #most = 1_048_576;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * One request for a session: its creation, or an append.
   * @throws UploadFailure
   */
  async step(session: SpooledSession, endpoint: Endpoint): Promise<Step> {
    if (session.at !== endpoint || endpoint.kind !== 'resumable') return this.#create(session, endpoint);
    look(this.#directory, session);
    const { committed: from, available } = session;
    const length = Math.min(available - from, this.#most);
    const final = session.state === 'done' && from + length === available;
    if (!final && (length <= 0 || available <= session.offered)) return 'idle';
    const began = performance.now();
    const answer = await this.#append(session, endpoint, from, length, final);
    this.#adapt(length, performance.now() - began);
    if (!isSuccess(answer)) return this.#refused(session, endpoint, answer);
    return this.#appended(session, endpoint, answer, { from, length, available, final });
  }

  async #create(session: SpooledSession, endpoint: Endpoint): Promise<Step> {
    const first = readMetadata(this.#directory, session);
    if (first === null) return 'idle';
    const answer = await exchange(endpoint, {
      method: 'POST',
      path: endpoint.sessionsPath,
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(first.text),
    });
    if (isOriginal(answer)) {
      endpoint.kind = 'original';
      endpoint.succeeded();
      return 'more';
    }
    const there = position(answer);
    if (!isSuccess(answer) || there === null) throw refusal(endpoint.name, answer);
    if (answer.protocol !== 'TLSv1.3') {
      throw new UploadFailure(
        'endpoint',
        `${endpoint.name}: speaks ${answer.protocol}, TLS 1.3 is asked for`,
      );
    }
    endpoint.kind = 'resumable';
    endpoint.succeeded();
    look(this.#directory, session);
    this.#notAhead(session, endpoint, there.offset);
    session.take(endpoint, there.offset);
    session.offered = 0;
    if (!there.complete) return 'more';
    if (session.state === 'done' && there.offset === session.available) return 'complete';
    throw new UploadFailure(
      'hopeless',
      `${endpoint.name}: the archive has this session complete with ${there.offset} bytes, the spool has ${session.available}`,
    );
  }

  async #append(
    session: SpooledSession,
    endpoint: Endpoint,
    from: number,
    length: number,
    final: boolean,
  ): Promise<Answer> {
    const request: Omit<Request, 'body'> = {
      method: 'PATCH',
      path: `${endpoint.sessionsPath}/${session.id}`,
      headers: {
        'content-type': 'application/partial-upload',
        'upload-offset': from,
        'upload-complete': final ? '?1' : '?0',
      },
    };
    const fd = openSpool(this.#directory, session);
    const at = session.start + from;
    try {
      if (length <= SMALL) return await exchange(endpoint, { ...request, body: read(fd, at, length) });
      const buffer = takeBuffer();
      try {
        return await exchange(endpoint, { ...request, body: { fd, from: at, length, buffer } });
      } finally {
        giveBuffer(buffer);
      }
    } finally {
      closeSync(fd);
    }
  }

  #appended(
    session: SpooledSession,
    endpoint: Endpoint,
    answer: Answer,
    sent: { from: number; length: number; available: number; final: boolean },
  ): Step {
    const there = position(answer);
    // An original receiver may have come to the place of ours: creating the session will tell.
    if (there === null) return this.#again(session, refusal(endpoint.name, answer));
    endpoint.succeeded();
    this.#notAhead(session, endpoint, there.offset);
    session.take(endpoint, there.offset);
    if (sent.final) {
      if (there.complete && there.offset === sent.available) return 'complete';
      throw new UploadFailure('session', `${endpoint.name}: has not taken the end of the session`);
    }
    const end = sent.from + sent.length;
    if (end === sent.available) {
      // The tail may be half an event: it goes again when there is more of it.
      session.offered = end;
      return 'idle';
    }
    if (there.offset > sent.from) return 'more';
    throw new UploadFailure('session', `${endpoint.name}: took nothing of ${sent.length} bytes`);
  }

  #refused(session: SpooledSession, endpoint: Endpoint, answer: Answer): Step {
    const problem = refusal(endpoint.name, answer);
    if (answer.status === 404) return this.#again(session, problem);
    if (answer.status !== 409) throw problem;
    const there = position(answer);
    if (there !== null) this.#notAhead(session, endpoint, there.offset);
    return this.#again(session, problem);
  }

  /** The receiver knows less, or other, than was thought: ask it, but not for ever. */
  #again(session: SpooledSession, problem: UploadFailure): Step {
    session.at = null;
    if (session.failures > 0) throw new UploadFailure('session', problem.message, problem.wait);
    session.failures++;
    return 'more';
  }

  #notAhead(session: SpooledSession, endpoint: Endpoint, offset: number): void {
    if (offset <= session.available) return;
    throw new UploadFailure(
      'hopeless',
      `${endpoint.name}: the archive has ${offset} bytes of this session, the spool only ${session.available}`,
    );
  }

  #adapt(length: number, took: number): void {
    if (took > SLOW_MS) this.#most = Math.max(LEAST_APPEND, this.#most / 2);
    else if (took < QUICK_MS && length === this.#most) this.#most = Math.min(MOST_APPEND, this.#most * 2);
  }
}

function read(fd: number, from: number, length: number): Buffer {
  const body = Buffer.allocUnsafe(length);
  for (let got = 0; got < length; ) {
    const n = readSync(fd, body, got, length - got, from + got);
    if (n === 0) throw new UploadFailure('session', 'the spool file became shorter');
    got += n;
  }
  return body;
}

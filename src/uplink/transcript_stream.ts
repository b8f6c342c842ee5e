/**
 * Uploads to an original receiver: one chunked POST of a session's terminal output from its beginning to its end, as
 * the original's ttyspyd did it. It cannot resume: cut off, it begins anew, and the archive has both.
 */
import { closeSync, readSync } from 'node:fs';
import type { ClientRequest } from 'node:http';
import type { Log } from '../os/log.ts';
import { EventDecoder, EventError, Kind } from '../session/event.ts';
import type { SessionStart } from '../session/metadata.ts';
import { isSuccess, refusal } from './answers.ts';
import type { Endpoint } from './endpoint.ts';
import { ANSWER_TIMEOUT_MS, type Answer, failure, open, readAnswer } from './exchange.ts';
import { UploadFailure } from './failure.ts';
import { giveBuffer, takeBuffer } from './read_buffers.ts';
import type { Step } from './resumable_upload.ts';
import { look, openSpool, readMetadata, type SpooledSession } from './spooled_session.ts';
import { transcriptHeaders } from './transcript_headers.ts';

/** Bytes of the spool that one step sends: then it is another session's turn. */
const STEP = 4_194_304;

/** @param began when the request did, milliseconds of Date.now() */
type Cut = (session: SpooledSession, endpoint: Endpoint, failure: UploadFailure, began: number) => void;

/** A request under way, and the step that waits for it, if any. */
interface Stream {
  readonly endpoint: Endpoint;
  /** Milliseconds of Date.now(). */
  readonly began: number;
  readonly req: ClientRequest;
  readonly decoder: EventDecoder;
  answer: Answer | null;
  wake: ((failure: UploadFailure | null) => void) | null;
}

export class TranscriptStreams {
  readonly #directory: string;
  readonly #log: Log;
  readonly #cut: Cut;
  readonly #streams = new Map<SpooledSession, Stream>();

  /** @param cut is told of a stream that broke while nothing was being sent */
  constructor(directory: string, log: Log, cut: Cut) {
    this.#directory = directory;
    this.#log = log;
    this.#cut = cut;
  }

  /**
   * Sends what has come in, and the end when it has.
   * @throws UploadFailure
   */
  async step(session: SpooledSession, endpoint: Endpoint): Promise<Step> {
    let stream = this.#streams.get(session);
    if (stream?.endpoint !== endpoint) {
      stream?.req.destroy();
      const first = readMetadata(this.#directory, session);
      if (first === null) return 'idle';
      stream = this.#open(session, endpoint, first.metadata);
    }
    session.at = endpoint;
    look(this.#directory, session);
    try {
      await this.#send(session, stream);
      if (session.committed < session.available) return 'more';
      if (session.state === 'live') return 'idle';
      await this.#finish(stream);
      return 'complete';
    } catch (error) {
      session.at = null;
      stream.req.destroy();
      throw error;
    }
  }

  /** Ends the stream of a session that goes another way now. */
  drop(session: SpooledSession): void {
    const stream = this.#streams.get(session);
    this.#streams.delete(session);
    stream?.req.destroy();
  }

  /** Cuts all streams off. */
  close(): void {
    for (const stream of this.#streams.values()) stream.req.destroy();
  }

  #open(session: SpooledSession, endpoint: Endpoint, metadata: SessionStart): Stream {
    const headers = transcriptHeaders(metadata);
    if (session.committed > 0) {
      this.#log.warn(
        { session: session.id, endpoint: endpoint.name },
        'an original receiver cannot resume: the session is sent from its beginning again',
      );
    }
    const { req, line } = open(endpoint, 'POST', endpoint.transcriptPath, headers, endpoint.streams);
    const stream: Stream = {
      endpoint,
      began: Date.now(),
      req,
      decoder: new EventDecoder(),
      answer: null,
      wake: null,
    };
    let problem: Error | null = null;
    req.setSocketKeepAlive(true, 60_000);
    req.on('error', error => {
      problem ??= error;
    });
    req.on('response', res => {
      readAnswer(res, answer => {
        stream.answer = answer;
        if (!req.writableEnded) req.destroy();
      });
    });
    req.on('close', () => {
      const ours = this.#streams.get(session) === stream;
      if (ours) this.#streams.delete(session);
      const cause = problem ?? new Error('the connection ended without an answer');
      const fault = stream.answer === null ? failure(endpoint, line, cause) : null;
      // Perhaps it was stopped so that a receiver of ours can take its place.
      if (fault) endpoint.kind = 'unknown';
      if (stream.wake) stream.wake(fault);
      else if (ours && session.at === endpoint && !(req.writableEnded && fault === null)) {
        this.#cut(session, endpoint, fault ?? this.#early(stream), stream.began);
      }
    });
    req.flushHeaders();
    this.#streams.set(session, stream);
    session.committed = 0;
    return stream;
  }

  async #send(session: SpooledSession, stream: Stream): Promise<void> {
    const fd = openSpool(this.#directory, session);
    const buffer = takeBuffer();
    const until = Math.min(session.available, session.committed + STEP);
    stream.req.setTimeout(ANSWER_TIMEOUT_MS);
    try {
      while (session.committed < until) {
        const most = Math.min(buffer.length, until - session.committed);
        const got = readSync(fd, buffer, 0, most, session.start + session.committed);
        if (got === 0) throw new UploadFailure('session', 'the spool file became shorter');
        const output = terminalOutput(stream.decoder, buffer.subarray(0, got));
        session.committed += got;
        if (output.length > 0) await this.#wait(stream, done => stream.req.write(output, done));
      }
    } finally {
      // A user may be silent for hours; whether the other end lives is asked by TCP itself.
      stream.req.setTimeout(0);
      giveBuffer(buffer);
      closeSync(fd);
    }
  }

  async #finish(stream: Stream): Promise<void> {
    stream.req.setTimeout(ANSWER_TIMEOUT_MS);
    await this.#wait(stream, () => stream.req.end());
    const { answer } = stream;
    if (answer === null) throw new UploadFailure('session', 'the connection ended without an answer');
    if (!isSuccess(answer)) throw refusal(stream.endpoint.name, answer);
    stream.endpoint.succeeded();
  }

  /** Waits for `begin` to call back, or for the request to come to its end. */
  #wait(stream: Stream, begin: (done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (fault: UploadFailure | null): void => {
        stream.wake = null;
        if (fault) reject(fault);
        else if (stream.answer && !stream.req.writableEnded) reject(this.#early(stream));
        else resolve();
      };
      stream.wake = settle;
      if (stream.req.destroyed) settle(new UploadFailure('session', 'the connection was cut off'));
      else begin(() => settle(null));
    });
  }

  #early(stream: Stream): UploadFailure {
    const { answer, endpoint } = stream;
    if (answer && !isSuccess(answer)) return refusal(endpoint.name, answer);
    return new UploadFailure('session', `${endpoint.name}: answered before the session had ended`);
  }
}

/** What the terminal, or a command's stdout and stderr, showed. The bytes are a copy. */
function terminalOutput(decoder: EventDecoder, piece: Buffer): Buffer {
  const output: Uint8Array[] = [];
  try {
    for (const { kind, bytes } of decoder.push(piece)) {
      if (kind === Kind.output || kind === Kind.stderr) output.push(bytes);
    }
  } catch (error) {
    if (error instanceof EventError) throw new UploadFailure('hopeless', `the spool file: ${error.message}`);
    throw error;
  }
  return Buffer.concat(output);
}

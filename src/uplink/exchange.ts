/** One request to a receiver and its answer, with a body from memory or from a file. */
import { readSync } from 'node:fs';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { type Agent, request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Endpoint } from './endpoint.ts';
import { describe, isTlsError, UploadFailure } from './failure.ts';

/** Until a connection stands, TLS included, milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Longest silence of a connection in use, milliseconds. Long enough for a slow disk's fdatasync. */
export const ANSWER_TIMEOUT_MS = 30_000;
/** What is read of an answer's body, bytes: an error is one line. A connection that says more is closed. */
const ANSWER_MOST = 4096;

/** Part of a file, to be read through `buffer`, which is free again when the exchange has come to its end. */
export interface FilePart {
  readonly fd: number;
  readonly from: number;
  readonly length: number;
  readonly buffer: Buffer;
}

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer | FilePart;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** The beginning of the body, one line, without control characters. */
  readonly text: string;
  /** Such as TLSv1.3. */
  readonly protocol: string | null;
}

/**
 * Sends a request and waits for its answer.
 * @throws UploadFailure when there is no answer
 */
export function exchange(endpoint: Endpoint, what: Request): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { ...what.headers, 'content-length': what.body.length };
    const { req, line } = open(endpoint, what.method, what.path, headers, endpoint.agent);
    let answer: Answer | null = null;
    let problem: Error | null = null;
    const sending = { over: false };
    req.on('response', res => {
      const early = !sending.over;
      sending.over = true;
      readAnswer(res, given => {
        answer = given;
        // A receiver that refuses before it read everything: the rest of the body is in nobody's interest.
        if (early) req.destroy();
      });
    });
    req.on('error', error => {
      problem ??= error;
    });
    // Only now is the buffer of a FilePart no longer read from.
    req.on('close', () => {
      sending.over = true;
      if (answer) resolve(answer);
      else reject(failure(endpoint, line, problem ?? new Error('the connection ended without an answer')));
    });
    if (Buffer.isBuffer(what.body)) {
      sending.over = true;
      req.end(what.body);
    } else {
      sendFile(req, what.body, sending);
    }
  });
}

/** What is known of the connection below a request. */
export interface Line {
  /** TLS stands, as far as this side can tell: with TLS 1.3 a refused client certificate shows only afterwards. */
  up: boolean;
  /** It served another request before. */
  used: boolean;
}

/** A request with time-outs, and without a body so far. */
export function open(
  endpoint: Endpoint,
  method: string,
  path: string,
  headers: OutgoingHttpHeaders,
  agent: Agent,
): { req: ClientRequest; line: Line } {
  const { hostname, port } = endpoint.url;
  const host = hostname.replace(/^\[|\]$/g, '');
  const req = request({ host, port: port || 443, method, path, headers, agent });
  const line = { up: false, used: false };
  req.setNoDelay(true);
  req.setTimeout(ANSWER_TIMEOUT_MS, () => req.destroy(silence(`no answer in ${ANSWER_TIMEOUT_MS / 1000} s`)));
  req.once('socket', socket => {
    line.used = req.reusedSocket;
    line.up = line.used;
    if (line.up) return;
    const timer = setTimeout(
      () => req.destroy(silence(`no connection in ${CONNECT_TIMEOUT_MS / 1000} s`)),
      CONNECT_TIMEOUT_MS,
    );
    socket.once('secureConnect', () => {
      line.up = true;
      clearTimeout(timer);
    });
    req.once('close', () => clearTimeout(timer));
  });
  return { req, line };
}

function silence(problem: string): Error {
  return Object.assign(new Error(problem), { code: 'ETIMEDOUT' });
}

/** What an error of a request means for those who wait. */
export function failure(endpoint: Endpoint, line: Line, error: Error): UploadFailure {
  const code = (error as NodeJS.ErrnoException).code;
  if (line.used && (code === 'ECONNRESET' || code === 'EPIPE')) {
    return new UploadFailure('stale', 'a kept-alive connection was closed');
  }
  const tls = isTlsError(error);
  if (line.up && !tls && endpoint.kind !== 'unknown') {
    return new UploadFailure('session', `${endpoint.name}: ${describe(error)}`);
  }
  // A node:https server closes without an alert when it does not accept the client's certificate.
  const maybe = line.up && !tls ? '; the receiver may refuse the certificate in cert_path, its log says' : '';
  return new UploadFailure('endpoint', `${endpoint.name}: ${describe(error)}${maybe}`);
}

/** Writes the part piece by piece, each when the one before it is on its way: memory is one buffer whatever the speed. */
function sendFile(req: ClientRequest, part: FilePart, sending: { over: boolean }): void {
  const { fd, buffer, length } = part;
  let sent = 0;
  const next = (error?: Error | null): void => {
    if (sending.over || error) return;
    try {
      const most = Math.min(buffer.length, length - sent);
      const got = readSync(fd, buffer, 0, most, part.from + sent);
      if (got === 0) throw new Error('the spool file became shorter');
      sent += got;
      if (sent < length) {
        req.write(buffer.subarray(0, got), next);
      } else {
        sending.over = true;
        req.end(buffer.subarray(0, got));
      }
    } catch (error) {
      req.destroy(error as Error);
    }
  };
  next();
}

/** @param done called once, at the answer's end or where it is cut off: its header is what counts */
export function readAnswer(res: IncomingMessage, done: (answer: Answer) => void): void {
  const protocol = (res.socket as TLSSocket).getProtocol?.() ?? null;
  let text = '';
  res.setEncoding('latin1');
  res.on('data', (piece: string) => {
    text += piece;
    if (text.length > ANSWER_MOST) res.destroy();
  });
  const over = (): void => {
    const line = text.trim().replace(/[^\x20-\x7e]+/g, ' ');
    done({ status: res.statusCode ?? 0, headers: res.headers, text: line, protocol });
  };
  res.once('end', over);
  res.once('close', over);
  res.on('error', () => {});
}

/** Answers to requests: how a body is asked for, and how a refusal is told to a client that is still sending. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { MAX_DRAIN } from './limits.ts';
import { type Refusal, refusalBody } from './refusal.ts';

/** How long a refused client may go on sending before the connection is cut, milliseconds. */
const DRAIN_MS = 5_000;

/** Requests that were told to send their body, or send it unasked. */
const asked = new WeakSet<IncomingMessage>();

/** Tells a client that waits for it (Expect: 100-continue) to send its body. */
export function askForBody(request: IncomingMessage, response: ServerResponse): void {
  if (asked.has(request)) return;
  asked.add(request);
  if (request.headers.expect !== undefined) response.writeContinue();
}

export function answer(response: ServerResponse, status: number, headers: OutgoingHttpHeaders = {}): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, status === 204 ? headers : { ...headers, 'Content-Length': 0 });
  response.end();
}

/**
 * Tells a refusal. What is left of the body is read and thrown away up to a limit: closing at once would reset the
 * connection, and the client might never see the answer.
 */
export function refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  if (response.destroyed || response.headersSent) return;
  const { type, body } = refusalBody(refusal, request.headers.accept);
  const bytes = Buffer.from(body);
  const left = bodyLeft(request);
  const headers = { ...refusal.headers, 'Content-Type': type, 'Content-Length': bytes.length };
  // Nobody knows whether a client that waited for 100 will send its body now: what comes next could be either.
  const waits = request.headers.expect !== undefined && !asked.has(request);
  if (left > MAX_DRAIN || waits) response.shouldKeepAlive = false;
  response.writeHead(refusal.status, headers);
  response.write(request.method === 'HEAD' ? '' : bytes);
  if (left === 0 || waits) response.end();
  else drain(request, response);
}

function drain(request: IncomingMessage, response: ServerResponse): void {
  let rest = MAX_DRAIN;
  const finish = () => {
    clearTimeout(timer);
    response.end();
    if (!request.complete) request.socket.destroySoon();
  };
  const timer = setTimeout(finish, DRAIN_MS);
  request.on('data', (piece: Buffer) => {
    rest -= piece.length;
    if (rest < 0) finish();
  });
  request.once('end', finish).once('close', finish).resume();
}

/** Bytes that may still come, Infinity where the client has not said how many. */
function bodyLeft(request: IncomingMessage): number {
  if (request.complete || request.destroyed) return 0;
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding === undefined ? Number(length ?? 0) : Number.POSITIVE_INFINITY;
}

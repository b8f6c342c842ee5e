/** What is asked for by which path and method, and how each request ends. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { refuse } from './answer.ts';
import type { Archive } from './archive.ts';
import { BodyCutOff } from './body.ts';
import { type Identity, identityOf } from './identity.ts';
import { postTranscript } from './legacy.ts';
import { asRefusal, Refusal } from './refusal.ts';
import { appendSession, createSession, headSession } from './resumable.ts';

type Handler = (
  archive: Archive,
  identity: Identity,
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
) => Promise<void>;

const ROUTES: readonly { path: RegExp; methods: Readonly<Record<string, Handler>> }[] = [
  { path: /^\/sessions\/([a-z2-7]{16})$/, methods: { HEAD: headSession, PATCH: appendSession } },
  { path: /^\/sessions$/, methods: { POST: createSession } },
  { path: /^\/transcript$/, methods: { POST: postTranscript } },
];

/** Handles one request to its end; never throws. */
export async function handle(
  archive: Archive,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.sendDate = false;
  try {
    requireOneLength(request);
    const { handler, id } = route(request);
    await handler(archive, identityOf(request.socket as TLSSocket), request, response, id);
  } catch (error) {
    fail(archive, request, response, error);
  }
}

/**
 * The parser looks at a body's length only after the header was given to us. A body that could end in two places is
 * refused before anything is made of its header.
 */
function requireOneLength({ headers }: IncomingMessage): void {
  const encoding = headers['transfer-encoding'];
  if (encoding === undefined) return;
  if (encoding.toLowerCase() !== 'chunked' || headers['content-length'] !== undefined) {
    throw new Refusal('malformed', 'Transfer-Encoding: must be chunked, without Content-Length');
  }
}

function route({ url = '', method = '' }: IncomingMessage): { handler: Handler; id: string } {
  for (const { path, methods } of ROUTES) {
    const match = path.exec(url);
    if (!match) continue;
    const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (handler) return { handler, id: match[1] ?? '' };
    const allow = Object.keys(methods).join(', ');
    throw new Refusal('method', `only ${allow} here`, { headers: { Allow: allow } });
  }
  throw new Refusal('unknown-path', 'nothing here');
}

function fail(archive: Archive, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const { remoteAddress: peer, remotePort: port } = request.socket;
  const what = { peer, port, method: request.method, url: request.url?.slice(0, 256) };
  if (error instanceof BodyCutOff) {
    archive.log.info(what, error.message);
    response.destroy();
    return;
  }
  const refusal = asRefusal(error);
  const line = { ...what, status: refusal.status, code: refusal.code };
  if (refusal.status >= 500) archive.log.error({ ...line, cause: causeOf(refusal) }, refusal.message);
  else archive.log.warn(line, refusal.message);
  // At its next handshake TLS tells the client what is wrong; whatever is answered here could be taken for the session's
  // fault.
  if (refusal.code === 'expired') request.socket.destroy();
  else refuse(request, response, refusal);
}

/** For the log: the system's error, or where our own mistake is. */
function causeOf({ cause }: Refusal): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  return (cause as NodeJS.ErrnoException).syscall === undefined ? cause.stack : cause.message;
}

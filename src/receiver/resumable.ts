/** Our own interface, PROTOCOL.md: create a session, ask for its offset, append to it. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { MAX_METADATA } from '../session/limits.ts';
import { MetadataError, type SessionStart } from '../session/metadata.ts';
import { answer, askForBody } from './answer.ts';
import { append } from './append.ts';
import type { Archive } from './archive.ts';
import { Body, readWhole } from './body.ts';
import { requireContentType, singleHeader } from './headers.ts';
import type { Identity } from './identity.ts';
import { parseMetadata } from './manifest.ts';
import { asRefusal, Refusal } from './refusal.ts';
import type { Session } from './session.ts';

/** POST /sessions */
export async function createSession(
  archive: Archive,
  identity: Identity,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  requireTls13(request);
  requireContentType(request, 'application/json');
  await archive.space.check();
  askForBody(request, response);
  const text = await readWhole(request, MAX_METADATA, archive.limits.headerMs);
  const start = metadata(text);
  requireHost(archive, identity, start.hostname);
  const { session, created } = await archive.sessions.open(start, identity.fingerprint);
  const { id, hostname, username } = session;
  archive.log.info(
    { id, hostname, username, offset: session.offset },
    created ? 'session begins' : 'session goes on',
  );
  answer(response, created ? 201 : 200, { ...position(session), Location: `/sessions/${id}` });
}

/** HEAD /sessions/ID */
export async function headSession(
  archive: Archive,
  identity: Identity,
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
): Promise<void> {
  requireTls13(request);
  const session = find(archive, identity, id);
  answer(response, 204, position(archive.sessions.touch(session)));
}

/** PATCH /sessions/ID */
export async function appendSession(
  archive: Archive,
  identity: Identity,
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
): Promise<void> {
  requireTls13(request);
  requireContentType(request, 'application/partial-upload');
  const from = offsetHeader(singleHeader(request, 'upload-offset'));
  const last = completeHeader(singleHeader(request, 'upload-complete'));
  const session = archive.sessions.touch(find(archive, identity, id));
  const wasSealed = session.sealed !== null;
  const body = new Body(request, { idleMs: archive.limits.idleMs });
  try {
    askForBody(request, response);
    await session.exclusive(() => append(session, { from, last, body }, archive.space), body);
  } catch (error) {
    throw withPosition(error, session);
  } finally {
    body.close();
    archive.sessions.touch(session);
    if (session.broken) archive.sessions.forget(session);
  }
  if (!wasSealed && session.sealed !== null) {
    const { hostname, username } = session;
    archive.log.info({ id, hostname, username, offset: session.offset }, 'session complete');
  }
  answer(response, 204, position(session));
}

function metadata(text: Buffer): SessionStart {
  try {
    return parseMetadata(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    if (error instanceof MetadataError) throw new Refusal('malformed', error.message);
    throw new Refusal('malformed', 'metadata: is not UTF-8');
  }
}

/** The session of this id that the client may write to. */
function find(archive: Archive, identity: Identity, id: string): Session {
  const sessions = archive.sessions.withId(id).filter(session => !session.broken);
  const own = sessions.find(({ hostname }) => !archive.hostnameCheck || identity.names(hostname));
  if (own) return own;
  if (sessions.length > 0)
    throw new Refusal('wrong-host', 'your certificate does not name the host of this session');
  throw new Refusal('unknown-session', 'no such session here; create it (again)');
}

export function requireHost(archive: Archive, identity: Identity, hostname: string): void {
  if (!archive.hostnameCheck || identity.names(hostname)) return;
  throw new Refusal('wrong-host', `your certificate does not name ${JSON.stringify(hostname)}`);
}

function requireTls13(request: IncomingMessage): void {
  if ((request.socket as TLSSocket).getProtocol() === 'TLSv1.3') return;
  throw new Refusal('tls-version', 'TLS 1.3 is required here');
}

function offsetHeader(value: string): number {
  const offset = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(offset))
    throw new Refusal('malformed', 'Upload-Offset: is not a number of bytes');
  return offset;
}

function completeHeader(value: string): boolean {
  if (value !== '?0' && value !== '?1') throw new Refusal('malformed', 'Upload-Complete: is not ?0 or ?1');
  return value === '?1';
}

function position(session: Session): OutgoingHttpHeaders {
  return {
    'Upload-Offset': session.offset,
    'Upload-Complete': session.sealed === null ? '?0' : '?1',
  };
}

/** A refusal of an append tells where the session stands. */
function withPosition(error: unknown, session: Session): unknown {
  if ((error as Error).name === 'BodyCutOff') return error;
  const { code, message, headers, cause } = asRefusal(error);
  return new Refusal(code, message, { headers: { ...headers, ...position(session) }, cause });
}

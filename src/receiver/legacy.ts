/** `POST /transcript`, the original's interface: one request for a session, its body the terminal's output. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Kind } from '../session/event.ts';
import { type EndReason, nameProblem, type SessionStart, sessionId } from '../session/metadata.ts';
import { answer, askForBody } from './answer.ts';
import type { Archive } from './archive.ts';
import { Batch } from './batch.ts';
import { Body, BodyCutOff } from './body.ts';
import { headerText, optionalHeader, requireContentType, singleHeader } from './headers.ts';
import type { Identity } from './identity.ts';
import { Refusal } from './refusal.ts';
import { requireHost } from './resumable.ts';
import type { Session } from './session.ts';
import { finishTranscript, noteFinished, noteUnfinished } from './unfinished.ts';

export async function postTranscript(
  archive: Archive,
  identity: Identity,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  requireContentType(request, 'application/typescript');
  const start = startOf(request);
  requireHost(archive, identity, start.hostname);
  await archive.space.check();
  // Sessions that last for days, silent for hours: only the kernel can tell that the client is gone.
  request.socket.setKeepAlive(true, archive.limits.idleMs);
  await noteUnfinished(archive.store, start);
  const { session } = await archive.sessions.open(start, identity.fingerprint);
  const { id, hostname, username } = session;
  archive.log.info({ id, hostname, username, legacy: true }, 'session begins');
  const body = new Body(request, { idleMs: 0, prompt: true });
  try {
    askForBody(request, response);
    const reason = await session.exclusive(() => record(archive, session, body), body);
    archive.log.info({ id, hostname, username, reason, offset: session.offset }, 'session complete');
  } finally {
    body.close();
    archive.sessions.forget(session);
  }
  answer(response, 200);
}

/** The metadata of a session, from headers whose bytes mean what the original put there. */
function startOf(request: IncomingMessage): SessionStart {
  const client = optionalHeader(request, 'x-ssh-client');
  return {
    version: 1,
    id: sessionId(randomBytes(10)),
    hostname: nameHeader(request, 'x-hostname'),
    username: nameHeader(request, 'x-username'),
    gecos: headerText(optionalHeader(request, 'x-gecos') ?? ''),
    started: new Date().toISOString(),
    mode: 'legacy',
    rows: null,
    columns: null,
    kernel: null,
    claims: client === undefined ? {} : { ssh_client: headerText(client) },
  };
}

function nameHeader(request: IncomingMessage, header: string): string {
  const name = headerText(singleHeader(request, header));
  const problem = nameProblem(name);
  if (problem !== null) throw new Refusal('malformed', `${header}: ${problem}`);
  return name;
}

/**
 * Records to the end of the body, or to where it is cut off.
 * @returns why it ended
 * @throws the error of the disk, or BodyCutOff, when all that could be kept is kept
 */
async function record(archive: Archive, session: Session, body: Body): Promise<EndReason> {
  const began = performance.now();
  const elapsed = () => Math.round((performance.now() - began) * 1_000);
  let failure: Error | null = null;
  try {
    await receive(archive, session, body, elapsed);
  } catch (error) {
    failure = error as Error;
    if (!(failure instanceof BodyCutOff || failure instanceof Refusal)) session.files.rollBack();
  }
  const reason = failure === null ? 'exit' : 'cut-off';
  session.sealed = await finishTranscript(session.files, reason, Math.max(elapsed(), session.files.at.time));
  noteFinished(archive.store, session.id);
  if (failure) {
    const { id, hostname, username } = session;
    archive.log.warn(
      { id, hostname, username, offset: session.offset },
      `session cut off: ${failure.message}`,
    );
    throw failure;
  }
  return reason;
}

/** Writes what comes when it comes, and makes it durable once in a while. */
async function receive(archive: Archive, session: Session, body: Body, elapsed: () => number): Promise<void> {
  const { files } = session;
  const { legacyCommitMs } = archive.limits;
  let committed = performance.now();
  for (;;) {
    const wait = files.isDirty ? Math.max(0, committed + legacyCommitMs - performance.now()) : undefined;
    const pieces = await body.take(wait);
    if (pieces === null) return;
    const batch = new Batch(files.at);
    const time = elapsed();
    let size = 0;
    for (const bytes of pieces) {
      batch.add({ kind: Kind.output, time, bytes });
      size += bytes.length;
    }
    if (!files.isDirty) committed = performance.now();
    if (size > 0) await files.write(batch, files.at.offset + size);
    if (performance.now() - committed >= legacyCommitMs) await files.commit();
  }
}

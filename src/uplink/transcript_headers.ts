/** What an original receiver is told of a session. */
import type { SessionStart } from '../session/metadata.ts';
import { UploadFailure } from './failure.ts';

/**
 * The headers that an original receiver asks for.
 * @throws UploadFailure for a name that would arrive as another one
 */
export function transcriptHeaders(metadata: SessionStart): Record<string, string> {
  const client = headerValue(metadata.claims.ssh_client ?? '');
  return {
    'Content-Type': 'application/typescript',
    'Transfer-Encoding': 'chunked',
    'X-Hostname': exactly('hostname', metadata.hostname),
    'X-Username': exactly('username', metadata.username),
    // An empty one is refused with 499.
    'X-Gecos': headerValue(metadata.gecos) || '-',
    ...(client !== '' && { 'X-Ssh-Client': client }),
  };
}

function exactly(member: string, name: string): string {
  const value = headerValue(name);
  if (value === Buffer.from(name).toString('latin1')) return value;
  throw new UploadFailure('hopeless', `the ${member} cannot be told to an original receiver as it is`);
}

/** One line, in UTF-8 (a header is a string of bytes to node:http), at most 1 KiB. CR and LF would smuggle requests. */
function headerValue(text: string): string {
  const line = String(text)
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .trim();
  return Buffer.from(line).subarray(0, 1024).toString('latin1').trim();
}

/** The client's side of ttyspyd's socket: who is there, hello, answer. */
import { userInfo } from 'node:os';
import { errorCode, native } from '../os/native.ts';
import { passwdUid } from '../os/passwd.ts';
import { type Answer, decodeAnswer, encodeHello, type Hello, HelloError } from '../session/hello.ts';
import { HELLO_TIMEOUT_MS, MAX_HELLO } from '../session/limits.ts';
import { EX_NOPERM, EX_TEMPFAIL, EX_UNAVAILABLE, NotRecordable, Refused } from './failure.ts';

/**
 * Connects, once it is certain who listens.
 * @param username the account ttyspyd runs as
 * @returns a blocking socket with a time limit on every call, the caller's to close
 * @throws NotRecordable
 */
export function connect(socket: string, username: string): number {
  let fd: number;
  try {
    fd = native.connect(socket, HELLO_TIMEOUT_MS);
  } catch (error) {
    throw new NotRecordable(EX_TEMPFAIL, `no recorder answers on ${socket} (${errorCode(error)})`, error);
  }
  try {
    checkPeer(fd, socket, username);
    return fd;
  } catch (error) {
    native.close(fd);
    throw error;
  }
}

/** The path may lie where anybody can make a socket (/tmp): whoever listens must be root (systemd) or ttyspyd. */
function checkPeer(fd: number, socket: string, username: string): void {
  const { uid, pidfd } = native.peerCredentials(fd);
  if (pidfd >= 0) native.close(pidfd);
  if (uid === 0 || uid === passwdUid(username)) return;
  throw new NotRecordable(
    EX_NOPERM,
    `${socket} belongs to uid ${uid}, not to root or ${username}: a trap, or username is wrong in the configuration`,
  );
}

/**
 * Hands the descriptors over and waits for the answer.
 * @returns the session's id
 * @throws NotRecordable
 */
export function introduce(fd: number, hello: Hello, fds: readonly number[]): string {
  let answer: Answer;
  try {
    native.sendMessage(fd, encodeHello(hello), fds);
    answer = receiveAnswer(fd);
  } catch (error) {
    if (error instanceof NotRecordable) throw error;
    if (error instanceof HelloError)
      throw new NotRecordable(EX_UNAVAILABLE, `recorder: ${error.message}`, error);
    const problem =
      errorCode(error) === 'EAGAIN' ? `no answer in ${HELLO_TIMEOUT_MS / 1000} s` : errorCode(error);
    throw new NotRecordable(EX_TEMPFAIL, `the recorder does not take the session: ${problem}`, error);
  }
  if (answer.ok) return answer.id;
  const message = `the recorder refuses the session: ${answer.message}`;
  if (answer.code === 'limit' || answer.code === 'spool') throw new NotRecordable(EX_TEMPFAIL, message);
  throw new Refused(answer.code === 'user-limit' ? EX_TEMPFAIL : EX_NOPERM, message);
}

function receiveAnswer(fd: number): Answer {
  const buffer = Buffer.alloc(MAX_HELLO + 4);
  const limit = performance.now() + HELLO_TIMEOUT_MS;
  for (let length = 0; length < buffer.length; ) {
    const received = native.receiveMessage(fd, buffer, length, buffer.length - length, 0).length;
    if (received === 0) throw new NotRecordable(EX_TEMPFAIL, 'the recorder hung up without an answer');
    if (received < 0 || performance.now() > limit) {
      throw new NotRecordable(EX_TEMPFAIL, `the recorder gives no answer in ${HELLO_TIMEOUT_MS / 1000} s`);
    }
    length += received;
    const answer = decodeAnswer(buffer.subarray(0, length));
    if (answer) return answer;
  }
  throw new NotRecordable(EX_UNAVAILABLE, 'the recorder answers too much');
}

/** Login name of the passwd entry of this process's real uid, its home and shell, as strings of bytes. */
export function ownEntry(): { name: string; home: string; shell: string } {
  const { username, homedir, shell } = userInfo({ encoding: 'buffer' });
  return {
    name: username.toString('latin1'),
    home: homedir.toString('latin1'),
    shell: shell?.toString('latin1') ?? '',
  };
}

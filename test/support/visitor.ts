/** Somebody at ttyspyd's socket, who says what a test wants to be said. */
import { errorCode, native } from '../../src/os/native.ts';
import { type Answer, decodeAnswer, encodeHello, type Hello } from '../../src/session/hello.ts';

/** Longer than ttyspyd waits for a hello. */
const PATIENCE_MS = 8_000;

export class Visitor {
  readonly fd: number;
  #open = true;

  constructor(socket: string) {
    this.fd = native.connect(socket, PATIENCE_MS);
  }

  say(bytes: Uint8Array, fds: readonly number[] = []): void {
    native.sendMessage(this.fd, bytes, fds);
  }

  /** Waits for the answer. Null when the other side hung up without one. */
  answer(): Answer | null {
    const buffer = Buffer.alloc(4096);
    for (let length = 0; ; ) {
      let received = 0;
      try {
        received = native.receiveMessage(this.fd, buffer, length, buffer.length - length, 0).length;
      } catch (error) {
        // It hung up while something of ours was unread.
        if (errorCode(error) !== 'ECONNRESET') throw error;
      }
      if (received < 0) throw new Error('ttyspyd says nothing');
      if (received === 0) return null;
      length += received;
      const answer = decodeAnswer(buffer.subarray(0, length));
      if (answer) return answer;
    }
  }

  /** Says hello with these descriptors and waits for the answer. On a terminal the session lasts until it leaves. */
  greet(hello: Hello, fds: readonly number[]): Answer | null {
    this.say(encodeHello(hello), fds);
    return this.answer();
  }

  /** Nothing more comes from here. */
  finish(): void {
    native.shutdownWrite(this.fd);
  }

  leave(): void {
    if (this.#open) native.close(this.fd);
    this.#open = false;
  }
}

/** Says hello with these descriptors, waits for the answer, and leaves. */
export function visit(socket: string, hello: Hello, fds: readonly number[]): Answer | null {
  const visitor = new Visitor(socket);
  try {
    return visitor.greet(hello, fds);
  } finally {
    visitor.leave();
  }
}

/** A terminal to be handed over, and a shell's side of it. */
export class Terminal {
  /** What sshd would hold: the user's side. */
  readonly user: number;
  /** Handed over. */
  readonly outer: number;
  /** Handed over. */
  readonly inner: number;
  /** What the shell would have. */
  readonly shell: number;

  constructor() {
    [this.user, this.outer] = native.openPty();
    [this.inner, this.shell] = native.openPty();
    native.setNonBlocking(this.user, 1);
    native.makeRaw(this.shell);
  }

  get fds(): [outer: number, inner: number] {
    return [this.outer, this.inner];
  }

  /** What was handed over is ttyspyd's alone from now on. */
  handedOver(): void {
    native.close(this.outer);
    native.close(this.inner);
  }

  /** The shell ends. */
  exit(): void {
    native.close(this.shell);
  }

  hangUp(): void {
    native.close(this.user);
  }
}

/** A command's six descriptors: pipes, as sshd makes them. */
export class Command {
  /** The user's ends of stdin, stdout, stderr. */
  readonly user: readonly [stdin: number, stdout: number, stderr: number];
  /** Handed over: outer stdin, stdout, stderr, inner stdin, stdout, stderr. */
  readonly fds: readonly number[];
  /** The command's ends. */
  readonly command: readonly [stdin: number, stdout: number, stderr: number];

  constructor() {
    const pipes = Array.from({ length: 6 }, () => native.pipe()) as [number, number][];
    const [a, b, c, d, e, f] = pipes as [
      [number, number],
      [number, number],
      [number, number],
      [number, number],
      [number, number],
      [number, number],
    ];
    this.user = [a[1], b[0], c[0]];
    this.fds = [a[0], b[1], c[1], d[1], e[0], f[0]];
    this.command = [d[0], e[1], f[1]];
  }

  handedOver(): void {
    for (const fd of this.fds) native.close(fd);
  }

  /** The command ends. */
  exit(): void {
    for (const fd of this.command) native.close(fd);
  }

  /** Nothing more comes from the user. */
  endInput(): void {
    native.close(this.user[0]);
  }

  /** After endInput. */
  leave(): void {
    for (const fd of this.user.slice(1)) native.close(fd);
  }

  close(): void {
    this.handedOver();
    this.exit();
    this.endInput();
    this.leave();
  }
}

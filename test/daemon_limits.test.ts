/** How many sessions ttyspyd takes: of one user, and in all. */
import { createInterface } from 'node:readline';
import t from 'tap';
import type { Answer, Hello } from '../src/session/hello.ts';
import { needsRoot, nobody } from './support/account.ts';
import { beside } from './support/child.ts';
import { DaemonRig, until } from './support/daemon_rig.ts';
import { Terminal, Visitor } from './support/visitor.ts';

const TTY: Hello = { mode: 'tty', claims: {} };

/** A session of this process, live until it is closed. */
class Live {
  readonly #terminal = new Terminal();
  readonly #visitor: Visitor;
  readonly answer: Answer | null;

  constructor(rig: DaemonRig) {
    this.#visitor = new Visitor(rig.socket);
    this.answer = this.#visitor.greet(TTY, this.#terminal.fds);
    this.#terminal.handedOver();
  }

  get ok(): boolean {
    return this.answer?.ok === true;
  }

  close(): void {
    this.#terminal.exit();
    this.#terminal.hangUp();
    this.#visitor.leave();
  }
}

/** Somebody else, who begins a session for each line of his standard input and says the answers. */
function somebodyElse(rig: DaemonRig): { ask: () => Promise<Answer>; end: () => void } {
  const support = new URL('./support/visitor.ts', import.meta.url).href;
  const child = beside(
    `const { Terminal, Visitor } = await import(${JSON.stringify(support)});
     process.stdin.on('data', () => {
       const terminal = new Terminal();
       const answer = new Visitor(${JSON.stringify(rig.socket)}).greet(${JSON.stringify(TTY)}, terminal.fds);
       terminal.handedOver();
       process.stdout.write(JSON.stringify(answer) + '\\n');
     });`,
    { uid: nobody.uid, gid: nobody.gid, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  return {
    ask: async () => {
      child.stdin?.write('\n');
      return JSON.parse((await lines.next()).value as string);
    },
    end: () => child.kill('SIGKILL'),
  };
}

t.test('of one user', async t => {
  const rig = await DaemonRig.start(['max_sessions_per_user 2']);
  t.teardown(() => rig.end());
  const live = [new Live(rig), new Live(rig)];
  t.ok(live.every(({ ok }) => ok));
  const third = new Live(rig);
  t.match(third.answer, { ok: false, code: 'user-limit', message: /^you have 2 sessions, the most/ });
  await until(() => rig.logged('session refused').length > 0);
  t.match(rig.logged('session refused')[0], { code: 'user-limit', uid: process.getuid?.() });

  await t.test('another user gets in', { skip: needsRoot }, async t => {
    const other = somebodyElse(rig);
    t.match(await other.ask(), { ok: true });
    t.match(await other.ask(), { ok: true });
    t.match(await other.ask(), { ok: false, code: 'user-limit' });
    other.end();
    await until(() => rig.spooled('done').length === 2);
    const users = rig.spooled('done').map(name => rig.session(name.replace('.done', '')).start.username);
    t.same(users, ['nobody', 'nobody']);
  });

  live[0]?.close();
  await until(() => rig.spooled('live').length === 1);
  const next = new Live(rig);
  t.ok(next.ok, 'when one has ended the next may come');
  for (const session of [live[1], third, next]) session?.close();
});

t.test('in all', async t => {
  const rig = await DaemonRig.start(['max_sessions 3', 'max_sessions_per_user 3']);
  t.teardown(() => rig.end());
  const live = [new Live(rig), new Live(rig)];
  if (needsRoot === false) {
    const other = somebodyElse(rig);
    t.match(await other.ask(), { ok: true });
    t.match(new Live(rig).answer, { ok: false, code: 'limit', message: /^this host has 3 sessions/ });
    t.match(await other.ask(), { ok: false, code: 'limit' });
    other.end();
    await until(() => rig.spooled('live').length === 2);
  }
  live.push(new Live(rig));
  t.ok(live.every(({ ok }) => ok));
  t.match(new Live(rig).answer, { ok: false });
  for (const session of live) session.close();
  await until(() => rig.spooled('live').length === 0);
  t.ok(new Live(rig).ok);
});

/**
 * A connection that is closed takes the descriptors along that were sent on it and never received. A TCP socket among them
 * that was told to linger (SO_LINGER) would keep ttyspyd, and everybody's session with it, in close(2).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { DaemonRig } from './support/daemon_rig.ts';
import { Terminal, visit } from './support/visitor.ts';

/** Longer than anybody here waits, seconds. Node cannot set SO_LINGER; Python is there, since node-gyp needs it. */
const LINGER = 60;
const ATTACK = `
import array, socket, struct, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
held = []
for i in range(10):
    tcp = socket.create_connection(listener.getsockname())
    held.append(listener.accept())
    tcp.setblocking(False)
    try:
        while True: tcp.send(bytes(65536))
    except BlockingIOError: pass
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, ${LINGER}))
    visitor = socket.socket(socket.AF_UNIX)
    visitor.connect(sys.argv[1])
    visitor.sendmsg([b'\\xf5is no hello'])
    visitor.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [tcp.fileno()]))])
    tcp.close()
    held.append(visitor)
print('done', flush=True)
sys.stdin.read()
`;

const rig = await DaemonRig.start();
t.teardown(() => rig.end());

async function attack(): Promise<() => void> {
  // It must not have hung up before all is sent.
  rig.child.kill('SIGSTOP');
  const attacker = spawn('python3', ['-c', ATTACK, rig.socket], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(attacker.stdout, 'data');
  rig.child.kill('SIGCONT');
  return () => attacker.stdin.end();
}

/** Fails, by Visitor's patience, when nobody answers. */
function begin(t: Test): () => void {
  const terminal = new Terminal();
  t.match(visit(rig.socket, { mode: 'tty', claims: {} }, terminal.fds), { ok: true });
  return () => {
    terminal.handedOver();
    terminal.exit();
    terminal.hangUp();
  };
}

t.test('while there are sessions', async t => {
  const end = begin(t);
  const stop = await attack();
  for (let i = 0; i < 5; i++) {
    begin(t)();
    await sleep(20);
  }
  stop();
  end();
});

t.test('when there is none', async t => {
  while (rig.spooled('live').length > 0) await sleep(10);
  const stop = await attack();
  begin(t)();
  stop();
});

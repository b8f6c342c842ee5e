/**
 * `npm run demo`: the whole way of a session on this machine, as whoever runs it. Makes certificates, starts a receiver
 * and ttyspyd on loopback, records a shell on a terminal, and plays back what the archive holds.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnOnPty } from '../../src/os/pty.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const program = (path: string) => join(ROOT, 'src', path);
const place = mkdtempSync(join(tmpdir(), 'ttyspy-demo-'));
const store = join(place, 'archive');
mkdirSync(store);
const started: ChildProcess[] = [];

/** What a person would type. */
const TYPED = [
  'echo "Hello from a recorded session"',
  'date',
  'tty',
  "printf '\\033[1;32mgreen\\033[0m caf\\303\\251\\n'",
];

function say(text: string): void {
  process.stdout.write(`\n== ${text}\n`);
}

function run(path: string, ...args: string[]): void {
  const { status } = spawnSync(program(path), args, { stdio: 'inherit', cwd: place });
  if (status !== 0) throw new Error(`${path} ${args.join(' ')}: exit status ${status}`);
}

/** Starts a daemon, its log in a file, and waits until the log has the word. */
async function start(path: string, config: string, word: string): Promise<void> {
  const log = join(place, `${path.replace(/.*\//, '')}.log`);
  const child = spawn(program(path), ['-c', config], { stdio: ['ignore', 'ignore', openSync(log, 'w')] });
  started.push(child);
  const said = () => readFileSync(log, 'utf8');
  await until(`${path} to be ready`, () => said().includes(word) || child.exitCode !== null);
  if (child.exitCode !== null) throw new Error(`${path} ended with ${child.exitCode}:\n${said()}`);
}

async function until(what: string, done: () => boolean): Promise<void> {
  for (let wait = 0; wait < 600; wait++) {
    if (done()) return;
    await new Promise(next => setTimeout(next, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function configure(port: number): { client: string; receiver: string } {
  const pki = (name: string) => join(place, 'pki', name);
  const client = join(place, 'ttyspy.conf');
  writeFileSync(
    client,
    `username ${userInfo().username}\nrecord_root yes\nsocket ${join(place, 'ttyspy.sock')}\n` +
      `endpoint https://localhost:${port}\nspool_path ${join(place, 'spool')}\nhostname demo\n` +
      `ca_path ${pki('ca.pem')}\ncert_path ${pki('client-demo.pem')}\nkey_path ${pki('client-demo.key')}\n`,
  );
  const receiver = join(place, 'receiver.conf');
  writeFileSync(
    receiver,
    `listen 127.0.0.1:${port}\nstore ${store}\nmin_free 1M\n` +
      `ca_path ${pki('ca.pem')}\ncert_path ${pki('server-localhost.pem')}\nkey_path ${pki('server-localhost.key')}\n`,
  );
  return { client, receiver };
}

/** A shell on a terminal through ttyspy; what is typed is shown as its user sees it. */
async function record(config: string): Promise<void> {
  process.env['PS1'] = 'demo$ ';
  const { master, exited } = spawnOnPty(program('client/ttyspy'), ['-c', config, '/bin/sh', '-i'], 80, 24);
  const buffer = Buffer.alloc(65_536);
  let shown = '';
  master.listen({
    readable: () => {
      let length = 0;
      try {
        length = master.read(buffer, 0, buffer.length);
      } catch {
        // EIO: the session is over.
      }
      if (length === 0) master.wantRead(false);
      if (length <= 0) return;
      shown += buffer.toString('latin1', 0, length);
      process.stdout.write(buffer.subarray(0, length));
    },
    writable: () => {},
  });
  master.wantRead(true);
  for (const line of [...TYPED, 'exit']) {
    await until('the prompt', () => shown.endsWith('demo$ '));
    shown = '';
    const typed = Buffer.from(`${line}\n`);
    master.write(typed, 0, typed.length);
  }
  await exited;
}

/** The manifest in the archive, once the session in it is complete. */
async function manifest(): Promise<string> {
  let found: string | undefined;
  await until('the archive to have the whole session', () => {
    found = readdirSync(store, { recursive: true, encoding: 'utf8' }).find(name => name.endsWith('.json'));
    return found !== undefined && JSON.parse(readFileSync(join(store, found), 'utf8')).end !== undefined;
  });
  return join(store, found as string);
}

try {
  say('certificates: an authority, the archive host, this host');
  run('ctl/ttyspyctl', 'pki', 'init', '--dir', join(place, 'pki'));
  run('ctl/ttyspyctl', 'pki', 'server', 'localhost', '--dir', join(place, 'pki'));
  run('ctl/ttyspyctl', 'pki', 'client', 'demo', '--dir', join(place, 'pki'));
  const { client, receiver } = configure(await freePort());
  say('ttyspy-receiver and ttyspyd (with ttyspy-uplink) start');
  await start('receiver/ttyspy-receiver', receiver, 'listening');
  await start('daemon/ttyspyd', client, 'ready');
  say('a session, as its user sees it');
  await record(client);
  const file = await manifest();
  say('the same session, played back from the archive');
  run('ctl/ttyspyctl', 'list', '--store', store);
  run(
    'ctl/ttyspyctl',
    'play',
    '--store',
    store,
    '--max-wait',
    '0.3',
    JSON.parse(readFileSync(file, 'utf8')).id,
  );
  say('files');
  process.stdout.write(
    `archive    ${store}\ntranscript ${file.replace(/\.json$/, '')}\nmanifest   ${file}\n`,
  );
  process.stdout.write(`all of it  ${place} (remove it when you have seen enough)\n`);
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\ndemo: what there is lies in ${place}\n`);
  process.exitCode = 1;
} finally {
  for (const child of started.reverse()) {
    child.kill('SIGTERM');
    if (child.exitCode === null) await new Promise(done => child.once('exit', done));
  }
}

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import t from 'tap';
import { createAuthority, issueClient, issueServer } from '../src/ctl/pki/certificates.ts';
import { native } from '../src/os/native.ts';
import { spawnOnPty } from '../src/os/pty.ts';
import { encodeEvent, encodeResize, Kind } from '../src/session/event.ts';
import type { SessionStart } from '../src/session/metadata.ts';

const SRC = join(import.meta.dirname, '../src');
const CTL = join(SRC, 'ctl/ttyspyctl');
const dir = t.testdir({ store: {} });
const store = join(dir, 'store');
const day = (user: string): string => join(store, user, 'bastion/2026/11/21');
const transcript = (user: string, id: string): string =>
  join(day(user), `transcript_2026-11-21T21:24:20Z_${id}`);

function ctl(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(CTL, args);
  return { status, stdout: stdout.toString(), bytes: stdout, stderr: stderr.toString() };
}

// What a user's session puts on the screen, and what must not reach a watcher's terminal: the clipboard, a question.
const SCREEN: readonly [ms: number, kind: Kind, bytes: Buffer][] = [
  [100, Kind.output, Buffer.from('$ ')],
  [200, Kind.input, Buffer.from('ls')],
  [1, Kind.output, Buffer.from('ls\r\n')],
  [300, Kind.output, Buffer.from('a \u001b[31mred\u001b[0m caf\u00e9\r\n')],
  [200, Kind.resize, encodeResize(40, 120)],
  [10, Kind.output, Buffer.from([0xff, 0xfe, 0x0d, 0x0a])],
  [1, Kind.output, Buffer.from('\u001b]52;c;aGk=\u0007\u001b[6nback\r\n')],
  [1, Kind.stderr, Buffer.from('oops\r\n')],
  [1500, Kind.output, Buffer.from('bye\r\n\n\nSession ended: 2026-11-21T21:24:21Z\n')],
];
const SHOWN = Buffer.concat(SCREEN.flatMap(([, kind, bytes]) => (kind === 1 || kind === 3 ? [bytes] : [])));

function eventStream(complete: boolean): Buffer {
  let time = 0;
  const events = SCREEN.map(([ms, kind, bytes]) => {
    time += ms * 1000;
    return encodeEvent({ time, kind, bytes });
  });
  if (complete) {
    const end = { reason: 'exit', status: 7, signal: null, streams: {} };
    events.push(encodeEvent({ time: time + 1000, kind: Kind.exit, bytes: Buffer.from(JSON.stringify(end)) }));
  }
  return Buffer.concat(events);
}

function sessionStart(id: string, username: string, mode: 'tty' | 'command'): SessionStart {
  return {
    version: 1,
    id,
    hostname: 'bastion',
    username,
    gecos: 'A',
    started: '2026-11-21T21:24:20.123456Z',
    mode,
    rows: 30,
    columns: 100,
    kernel: null,
    claims: { term: 'xterm' },
  };
}

/** Fills the store as it is filled: by a receiver, over TLS. */
async function record(): Promise<void> {
  const authority = await createAuthority('a');
  const server = await issueServer(authority, ['127.0.0.1']);
  const client = await issueClient(authority, ['bastion']);
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const conf = file(
    'receiver.conf',
    `listen 127.0.0.1:0; store "${store}"; min_free 0\nca_path "${file('ca', authority.certificate)}"\n` +
      `cert_path "${file('cert', server.certificate)}"; key_path "${file('key', server.key)}"\n`,
  );
  const receiver = spawn(join(SRC, 'receiver/ttyspy-receiver'), ['-c', conf], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const port = await listening(receiver);
  const call = async (method: string, path: string, headers: object, body: string | Buffer) => {
    const tls = { ca: authority.certificate, cert: client.certificate, key: client.key };
    const sent = request({ ...tls, host: '127.0.0.1', port, method, path, headers: { ...headers } });
    sent.end(body);
    const [response] = await once(sent, 'response');
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  };
  for (const [id, user, mode, complete] of [
    ['aaaaaaaaaaaaaaaa', 'alice', 'tty', true],
    ['bbbbbbbbbbbbbbbb', 'alice', 'command', true],
    ['cccccccccccccccc', 'bob', 'tty', false],
    ['abbbbbbbbbbbbbbb', 'mallory', 'tty', true],
  ] as const) {
    const start = JSON.stringify(sessionStart(id, user, mode));
    t.equal(await call('POST', '/sessions', { 'content-type': 'application/json' }, start), 201);
    const headers = {
      'content-type': 'application/partial-upload',
      'upload-offset': '0',
      'upload-complete': complete ? '?1' : '?0',
    };
    t.equal(await call('PATCH', `/sessions/${id}`, headers, eventStream(complete)), 204);
  }
  receiver.kill('SIGKILL');
  await once(receiver, 'exit');
}

function listening(receiver: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let log = '';
    receiver.stderr?.on('data', data => {
      log += data;
      const port = /"port":(\d+).*listening/.exec(log)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
    receiver.once('exit', () => reject(new Error(log)));
  });
}

await record();
// One of the original receiver's, as it lies in its store.
mkdirSync(join(store, 'alice/vm/2026/11/21'), { recursive: true });
const original = join(store, 'alice/vm/2026/11/21/transcript_2026-11-21T21:24:20Z_428173905');
copyFileSync(join(import.meta.dirname, 'fixtures/original/transcript.txt'), original);

t.test('list', async t => {
  const { status, stdout } = ctl('list', '--store', store);
  t.equal(status, 0);
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map(line => line.split(/ {2,}/));
  t.same(rows[0], ['STARTED', 'USER', 'HOST', 'MODE', 'TIME', 'SIZE', 'END', 'ID']);
  const find = (id: string) => rows.find(row => row.at(-1) === id)?.filter((_, i) => i !== 5);
  const start = '2026-11-21T21:24:20Z';
  t.same(find('aaaaaaaaaaaaaaaa'), [start, 'alice', 'bastion', 'tty', '0:02', 'exit 7', 'aaaaaaaaaaaaaaaa']);
  t.same(find('cccccccccccccccc'), [start, 'bob', 'bastion', 'tty', '-', 'open', 'cccccccccccccccc']);
  t.same(find('428173905'), [start, 'alice', 'vm', 'original', '0:02', 'ended', '428173905']);
  t.equal(rows.length, 6);

  const json = ctl('list', '--json', '--store', store, 'bob', 'mallory');
  const objects = json.stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
  t.match(objects, [
    {
      id: 'cccccccccccccccc',
      username: 'bob',
      ended: null,
      duration: null,
      file: transcript('bob', 'cccccccccccccccc'),
    },
    { id: 'abbbbbbbbbbbbbbb', username: 'mallory', end: { reason: 'exit', status: 7 } },
  ]);
  t.match(ctl('list', '--store', store, 'nobody'), { status: 0, stdout: '', stderr: /no sessions/ });
  t.match(ctl('list', '--store', join(dir, 'none')), { status: 66, stderr: /there is no archive at/ });
});

t.test('a file or pipe gets every byte, at once', async t => {
  const play = (which: string, ...args: string[]) => ctl('play', which, '--store', store, ...args);
  t.match(play('aaaaaaaaaaaaaaaa').stderr, /window is now 120x40.*\n.*session aaaaaaaaaaaaaaaa: exit 7\n$/s);
  for (const which of ['aaaaaaaaaaaaaaaa', 'b', 'cccc', transcript('bob', 'cccccccccccccccc')]) {
    t.ok(play(which).bytes.equals(SHOWN), which);
  }
  t.ok(
    play(`${transcript('bob', 'cccccccccccccccc')}.timing`).bytes.equals(SHOWN),
    'a neighbour of the transcript',
  );
  t.match(play('cccc').stderr, /goes on, or was interrupted/);

  const text = readFileSync(original, 'latin1');
  const body = text.slice(text.indexOf('\n\n\n') + 3, text.lastIndexOf('\n\nSession ended: '));
  t.equal(play('428173905').bytes.toString('latin1'), body);
  t.match(play('428173905').stderr, /there is no timing.*session 428173905: ended/s);

  t.match(play('a'), { status: 64, stderr: /2 sessions begin with "a"/ });
  t.match(play('zzzz'), { status: 66, stderr: /there is no session "zzzz"/ });
  t.match(play('./nowhere'), { status: 66, stderr: /no such file/ });
  t.match(ctl('play'), { status: 64, stderr: /needs a file/ });
  t.match(play('b', '--speed', 'x'), { status: 64, stderr: /--speed is "x"/ });

  const start = performance.now();
  t.ok(play('b', '--speed', '4').bytes.equals(SHOWN));
  t.ok(performance.now() - start > 2300 / 4, 'in its own time when asked for');
});

/** ttyspyctl play on a terminal of 80x24; `keys` are pressed once the output holds the text before them. */
async function watch(args: readonly string[], keys: readonly [after: string, key: string][] = []) {
  const pty = spawnOnPty(CTL, ['play', '--store', store, ...args], 80, 24);
  // Flags and characters; behind them the structure has bytes that mean nothing (termios(3), glibc).
  const settings = () => native.getTermios(pty.master.fd).subarray(0, 36).toString('hex');
  const before = settings();
  const pieces: { at: number; text: string }[] = [];
  const waiting = [...keys];
  let output = '';
  const buffer = Buffer.alloc(65_536);
  const read = (): boolean => {
    let length = 0;
    try {
      length = pty.master.read(buffer, 0, buffer.length);
    } catch {
      // EIO: the program and its terminal are gone.
    }
    if (length <= 0) return false;
    const text = buffer.toString('latin1', 0, length);
    pieces.push({ at: performance.now(), text });
    output += text;
    while (waiting[0] && output.includes(waiting[0][0])) {
      const key = Buffer.from(waiting.shift()?.[1] ?? '');
      pty.master.write(key, 0, key.length);
    }
    return true;
  };
  pty.master.listen({ readable: () => read() || pty.master.wantRead(false), writable: () => {} });
  pty.master.wantRead(true);
  const { status } = await pty.exited;
  while (read());
  const restored = settings() === before;
  pty.master.close();
  const when = (text: string): number => pieces.find(piece => piece.text.includes(text))?.at ?? Number.NaN;
  return { status, output, restored, when };
}

t.test('on a terminal', async t => {
  const { status, output, restored, when } = await watch(['aaaaaaaaaaaaaaaa']);
  t.equal(status, 0);
  t.ok(restored, 'settings of the terminal are as they were');
  t.match(output, 'recorded at 100x30 (columns x rows), this terminal is 80x24');
  t.match(output, '$ ');
  t.match(output, Buffer.from('a \u001b[31mred\u001b[0m caf\u00e9\r\n').toString('latin1'));
  t.notMatch(output, /\u001b\]52|\u001b\[6n/, 'neither clipboard nor question');
  t.match(output, 'back\r\noops\r\n', 'what stood around them is there');
  t.match(output, '\u001b]2;alice@bastion 120x40 ', 'the new size is told');
  t.match(output, /\u001b\[0m.*\u001b\[\?25h.*session aaaaaaaaaaaaaaaa: exit 7\r\n$/s, 'left clean');
  t.ok(when('bye') - when('oops') > 1400, 'in its own time');

  const command = await watch(['b', '--no-wait']);
  t.match(command.output, 'bye\r\n\r\n\r\nSession ended: 2026', 'a command, whose line feeds are bare');
  const raw = await watch(['aaaa', '--raw', '--speed', '0']);
  const unchanged = raw.output.replace(/\u001b\]2;[^\u0007]*\u0007/g, '');
  t.match(unchanged, SHOWN.toString('latin1'));
  const short = await watch(['aaaa', '--max-wait', '0']);
  t.match(short, { status: 0, restored: true });
});

t.test('keys', async t => {
  const quit = await watch(['aaaa', '--speed', '0.1'], [['$ ', 'q']]);
  t.match(quit, { status: 0, restored: true, output: /stopped at 0:00\r\n$/ });
  t.notMatch(quit.output, 'bye');
  t.match(await watch(['aaaa', '--speed', '0.1'], [['$ ', '\u0003']]), { status: 0, restored: true });

  const skipped = await watch(
    ['aaaa', '--speed', '0.0625'],
    [
      ['$ ', 's'],
      ['oops', '\u001b[C'],
    ],
  );
  t.match(skipped.output, /bye.*exit 7/s, 'skips to the pause, and out of it');

  const faster = await watch(
    ['aaaa'],
    [
      ['$ ', '++++'],
      ['speed 16', ' '],
      ['paused', ' '],
    ],
  );
  t.match(
    faster.output,
    /speed 2\u0007.*speed 4\u0007.*speed 8\u0007.*speed 16\u0007.*paused\u0007.*speed 16\u0007/s,
  );
  t.match(faster, { status: 0, restored: true });
});

t.test('hostile recordings', async t => {
  const evil = 'ev\u001b]0;x\u0007il\u202e';
  mkdirSync(day(evil), { recursive: true });
  copyFileSync(transcript('alice', 'aaaaaaaaaaaaaaaa'), transcript(evil, 'eeee'));
  const { stdout, status } = ctl('list', '--store', store);
  t.equal(status, 0);
  t.match(stdout, 'ev\\u{1b}]0;x\\u{7}il\\u{202e}');
  t.notMatch(stdout, /[^\n -~]/, 'nothing but printable ASCII');
  t.notMatch(ctl('list', '--json', '--store', store).stdout, /[^\n -~]/);

  // What lies in an archive need not be a file, nor a manifest what it should be.
  symlinkSync('/etc/passwd', transcript(evil, 'link'));
  spawnSync('mkfifo', [transcript(evil, 'fifo')]);
  mkdirSync(transcript(evil, 'directory'));
  writeFileSync(join(store, 'stray'), '');
  writeFileSync(join(day(evil), 'stray'), '');
  t.equal(ctl('list', '--store', store).stdout, stdout);
  for (const name of ['link', 'fifo', 'directory']) {
    const refused = ctl('play', transcript(evil, name));
    t.match(refused, { status: 66, stdout: /^$/, stderr: /^ttyspyctl: [ -~]* is a? ?[a-z ]+\n$/ }, name);
  }
  const file = transcript(evil, 'eeee');
  for (const manifest of [
    '',
    '{',
    '[]',
    '{"version":1}',
    `{"id":"\u001b[31m","files":{}}`,
    'x'.repeat(2_000_000),
  ]) {
    writeFileSync(`${file}.json`, manifest);
    t.equal(ctl('list', '--store', store).stdout, stdout, manifest.slice(0, 20));
  }
  const start = { ...sessionStart('eeeeeeeeeeeeeeee', 'x', 'tty'), files: {} };
  for (const members of [
    { end: null },
    { end: { reason: 1 } },
    { end: [], ended: 5 },
    { files: 5, ended: {} },
  ]) {
    writeFileSync(`${file}.json`, JSON.stringify({ ...start, ...members }));
    t.equal(ctl('list', '--store', store).status, 0);
    t.equal(ctl('play', file).status, 0);
  }
});

t.test('damaged recordings play what there is', async t => {
  const file = join(dir, 'transcript_2026-11-21T21:24:20Z_damaged');
  const copy = () => {
    for (const end of ['', '.timing'])
      copyFileSync(`${transcript('alice', 'aaaaaaaaaaaaaaaa')}${end}`, `${file}${end}`);
  };
  const timing = readFileSync(`${transcript('alice', 'aaaaaaaaaaaaaaaa')}.timing`, 'latin1');
  for (const [what, text] of [
    ['no line of a timing file', 'what?\n'],
    ['a size beyond the end', 'O 0.000000 999999999999999\n'],
    ['cut in a line', timing.slice(0, timing.length / 2)],
    ['empty', ''],
    ['its first line alone', timing.slice(0, timing.indexOf('\n') + 1)],
    ['sizes that are too small', timing.replace(/^O (\S+) \d+$/gm, 'O $1 1')],
  ] as const) {
    copy();
    writeFileSync(`${file}.timing`, text);
    const { status, bytes } = ctl('play', file);
    t.equal(status, 0);
    t.ok(bytes.equals(SHOWN), what);
  }
  copy();
  truncateSync(file, 100);
  t.match(ctl('play', file), { status: 0 }, 'shorter than its timing says');
  truncateSync(file, 5);
  t.match(ctl('play', file), { status: 0, stdout: 'Usern' }, 'cut in its header');
  writeFileSync(file, '');
  t.match(ctl('play', file), { status: 0, stdout: '' });
  appendFileSync(file, 'not a transcript\n');
  t.match(ctl('play', file), { status: 0, stdout: 'not a transcript\n' });
  t.ok(readdirSync(store).length > 0);
});

t.test('a reader that stops early is no error', async t => {
  const { status, stderr } = spawnSync('sh', ['-c', `"${CTL}" list --store "${store}" | head -c 1`], {
    encoding: 'utf8',
  });
  t.equal(status, 0);
  t.equal(stderr, '');
});

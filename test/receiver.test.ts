import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeEvent, encodeResize, Kind } from '../src/session/event.ts';
import { END, exit, HEADER, output, Rig, startOf } from './fixtures/receiver/rig.ts';

const rig = await Rig.start();
t.teardown(() => rig.end());

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

t.test('a session, from creation to its seal', async t => {
  const start = startOf();
  const created = await rig.create(start);
  t.equal(created.status, 201);
  t.equal(created.headers.location, `/sessions/${start.id}`);
  t.equal(created.headers['upload-offset'], '0');

  const first = output(1_500_000, 'one\r\n');
  const appended = await rig.append(start.id, 0, first);
  t.equal(appended.status, 204);
  t.equal(appended.headers['upload-offset'], String(first.length));
  t.equal(appended.headers['upload-complete'], '?0');
  t.match((await rig.head(start.id)).headers, {
    'upload-offset': String(first.length),
    'upload-complete': '?0',
  });

  const path = rig.transcript(start);
  t.equal(readFileSync(path, 'utf8'), `${HEADER}one\r\n`);
  t.notOk('files' in rig.manifest(start));

  const last = Buffer.concat([output(2_000_000, 'caf\xc3\xa9'), exit(3_250_000)]);
  const total = first.length + last.length;
  const sealed = await rig.append(start.id, first.length, last, true);
  t.equal(sealed.status, 204);
  t.match(sealed.headers, { 'upload-offset': String(total), 'upload-complete': '?1' });
  t.equal(readFileSync(path, 'utf8'), `${HEADER}one\r\ncaf\xc3\xa9\n\nSession ended: 2026-03-04T21:24:23Z\n`);
  t.match(rig.manifest(start), {
    ...start,
    end: END,
    ended: '2026-03-04T21:24:23.373Z',
    offset: total,
    files: {
      transcript: { size: statSync(path).size, sha256: sha256(path) },
      timing: { size: statSync(`${path}.timing`).size, sha256: sha256(`${path}.timing`) },
    },
  });
  t.notOk(existsSync(`${path}.input`));
  t.notOk(existsSync(`${path}.json.new`));
  t.equal(statSync(path).mode & 0o777, 0o640);
  t.equal(statSync(join(rig.store, 'alice')).mode & 0o777, 0o750);

  t.test('is answered again when its answers were lost', async t => {
    t.equal((await rig.append(start.id, first.length, last, true)).status, 204);
    t.equal((await rig.append(start.id, total, Buffer.alloc(0), true)).status, 204);
    t.match((await rig.create(start)).headers, { 'upload-offset': String(total), 'upload-complete': '?1' });
    const more = await rig.append(start.id, total, output(4_000_000, 'more'));
    t.equal(more.status, 409);
    t.match(more.headers, { 'upload-offset': String(total), 'upload-complete': '?1' });
  });
});

t.test('appends that overlap, leave a gap, or end within an event', async t => {
  const start = startOf();
  await rig.create(start);
  const stream = Buffer.concat([output(1, 'abc'), output(2, 'def'), output(3, 'ghi')]);
  const one = stream.length / 3;
  t.equal((await rig.append(start.id, 0, stream.subarray(0, one + 7))).headers['upload-offset'], String(one));
  const gap = await rig.append(start.id, one + 7, stream.subarray(one + 7));
  t.equal(gap.status, 409);
  t.equal(gap.headers['upload-offset'], String(one));
  t.equal((await rig.append(start.id, 0, stream)).headers['upload-offset'], String(stream.length));
  t.equal((await rig.append(start.id, 0, stream)).headers['upload-offset'], String(stream.length));
  t.equal(
    (await rig.append(start.id, 5, stream.subarray(5, 9))).headers['upload-offset'],
    String(stream.length),
  );
  t.equal(readFileSync(rig.transcript(start), 'utf8'), `${HEADER}abcdefghi`);
});

t.test('all kinds of events; scriptreplay plays them', async t => {
  const start = startOf({ mode: 'command' });
  await rig.create(start);
  const event = (kind: Kind, time: number, bytes: string | Buffer) =>
    encodeEvent({ kind, time, bytes: Buffer.from(bytes as string) });
  const stream = Buffer.concat([
    event(Kind.input, 1_000, 'ls\r'),
    event(Kind.output, 2_500, 'out\n'),
    event(Kind.stderr, 3_000, 'err\n'),
    event(Kind.stderr, 3_100, 'err2\n'),
    event(Kind.resize, 4_000, encodeResize(50, 132)),
    event(Kind.marker, 5_000, JSON.stringify({ type: 'note', text: `é\n${'x'.repeat(9_000)}` })),
    event(Kind.output, 1_006_000, 'done\n'),
    event(Kind.input, 1_006_000, 'exit\r'),
    exit(1_007_000),
  ]);
  t.equal((await rig.append(start.id, 0, stream, true)).status, 204);
  const path = rig.transcript(start);
  const trailer = '\n\nSession ended: 2026-03-04T21:24:21Z\n';
  t.equal(readFileSync(path, 'utf8'), `${HEADER}out\nerr\nerr2\ndone\n${trailer}`);
  t.equal(readFileSync(`${path}.input`, 'utf8'), '\nls\rexit\r');
  t.match(rig.manifest(start).files, { input: { size: 9, sha256: sha256(`${path}.input`) } });
  const timing = readFileSync(`${path}.timing`, 'latin1');
  t.match(
    timing,
    'S 0.000900 SIGWINCH ROWS=50 COLS=132\nH 0.001000 MARKER {"type":"note","text":"\\u00e9\\nxxx',
  );
  t.match(
    timing.replace(/^H .* MARKER.*\n/gm, ''),
    [
      'H 0.000000 START_TIME 2026-03-04T21:24:20Z',
      'H 0.000000 TERM xterm-256color',
      'H 0.000000 COLUMNS 80',
      'H 0.000000 LINES 24',
      `O 0.000000 ${HEADER.length - 'Username: alice\n'.length}`,
      'H 0.000000 COMMIT 0',
      'I 0.001000 3',
      'O 0.001500 4',
      'H 0.000000 STREAM stderr',
      'O 0.000500 4',
      'O 0.000100 5',
      'S 0.000900 SIGWINCH ROWS=50 COLS=132',
      'H 0.000000 STREAM stdout',
      'O 1.001000 5',
      'I 0.000000 5',
      `H 0.000000 COMMIT ${stream.length - exit(1_007_000).length}`,
      `O 0.001000 ${trailer.length}`,
      'H 0.000000 DURATION 1.007000',
      'H 0.000000 EXIT_CODE 7',
      '',
    ].join('\n'),
  );
  // It ends what it shows with a line feed of its own.
  const replay = (...args: string[]) =>
    execFileSync('scriptreplay', ['-T', `${path}.timing`, '-d', '1000', ...args], { encoding: 'utf8' });
  t.equal(replay('-O', path), `${HEADER}out\nerr\nerr2\ndone\n${trailer}\n`.replace('Username: alice\n', ''));
  t.match(replay('-O', path, '-I', `${path}.input`, '--stream', 'in', '--cr-mode', 'never'), 'ls\rexit\r');
  t.match(replay('-O', path, '--summary'), /EXIT_CODE:? +7/);
});

t.test("the original's request, byte for byte, gives the original's file", async t => {
  const { connect } = await import('node:tls');
  const bytes = readFileSync(join(import.meta.dirname, 'fixtures/original/request.http'));
  const { certificate: cert, key } = rig.client;
  const socket = connect({
    host: '127.0.0.1',
    port: rig.port,
    servername: 'localhost',
    ca: rig.authority.certificate,
    cert,
    key,
    maxVersion: 'TLSv1.2',
    ALPNProtocols: ['h2', 'http/1.1'],
  });
  const split = bytes.indexOf('\r\n\r\n') + 4;
  let answer = '';
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('secureConnect', () => socket.write(bytes.subarray(0, split)));
    socket.setEncoding('latin1').on('data', (piece: string) => {
      const waited = !answer.includes('100 Continue');
      answer += piece;
      if (waited && answer.includes('100 Continue')) socket.write(bytes.subarray(split));
      if (answer.includes('HTTP/1.1 200')) resolve();
    });
  });
  t.equal(socket.getProtocol(), 'TLSv1.2');
  t.equal(socket.alpnProtocol, 'http/1.1');
  socket.destroy();
  const day = join(rig.store, 'alice/vm', new Date().toISOString().slice(0, 10).replaceAll('-', '/'));
  const { globSync } = await import('node:fs');
  const [name = ''] = globSync('transcript_*_????????????????', { cwd: day });
  t.match(name, /^transcript_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ_[a-z2-7]{16}$/);
  const original = readFileSync(join(import.meta.dirname, 'fixtures/original/transcript.txt'), 'latin1');
  const times = (text: string) => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'TIME');
  const stored = readFileSync(join(day, name), 'latin1');
  const [header, trailer] = [
    original.slice(0, original.indexOf('\n\n\n') + 3),
    original.slice(original.lastIndexOf('\n\n')),
  ];
  t.equal(
    times(stored),
    times(`${header}hello\r\ntyped-a-second-later\r\n\x1b[32mgreen\x1b[0m caf\xc3\xa9\r\n${trailer}`),
  );
  t.match(JSON.parse(readFileSync(join(day, `${name}.json`), 'utf8')), {
    mode: 'legacy',
    gecos: 'Alice Tester,Room 1,555-0100',
    claims: { ssh_client: '192.0.2.7 51515 22' },
    end: { reason: 'exit', status: null },
  });
});

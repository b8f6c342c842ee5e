import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { EVENT_HEADER, encodeEvent, Kind } from '../src/session/event.ts';
import { END, exit, HEADER, output, Rig, startOf } from './fixtures/receiver/rig.ts';

const rig = await Rig.start();
t.teardown(() => rig.end());

const LEGACY = {
  'Content-Type': 'application/typescript',
  'X-Hostname': 'vm',
  'X-Username': 'alice',
  'X-Gecos': 'Alice',
};

const files = () => globSync('**/transcript_*', { cwd: rig.store }).length;

/** A connection for bytes that no HTTP client sends. */
async function raw(port = rig.port): Promise<TLSSocket> {
  const { certificate: cert, key } = rig.client;
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca: rig.authority.certificate,
    cert,
    key,
  });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket.setEncoding('latin1');
}

async function answerTo(...bytes: string[]): Promise<string> {
  const socket = await raw();
  let text = '';
  socket.on('data', piece => {
    text += piece;
  });
  for (const piece of bytes) socket.write(piece, 'latin1');
  await once(socket, 'close');
  return text;
}

/** Waits until it gives something, for as long as a loaded machine may need. */
async function until<T>(what: () => T): Promise<T> {
  for (let i = 0; i < 500; i++) {
    const value = what();
    if (Array.isArray(value) ? value.length > 0 : value) return value;
    await sleep(20);
  }
  throw new Error(`nothing: ${what}`);
}

/** A generator of numbers below 1 with a fixed seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

t.test(
  'names that would leave the store, and other names that are none (fault 11 of the original)',
  async t => {
    const bad = [
      '',
      '.',
      '..',
      '../../x',
      '/etc',
      'a/b',
      'a\0b',
      'a\nb',
      'a\x1bb',
      '\x7f',
      'x'.repeat(256),
      'é'.repeat(128),
    ];
    const before = files();
    for (const name of bad) {
      for (const member of ['username', 'hostname']) {
        const answer = await rig.create(startOf({ [member]: name }));
        t.match(answer, { status: 400, text: new RegExp(`^${member}: `) }, JSON.stringify(name));
      }
      if (/[\0\n\x1b\x7f]/.test(name)) continue;
      for (const header of ['X-Username', 'X-Hostname']) {
        const value = Buffer.from(name).toString('latin1');
        const answer = await rig.ask('/transcript', {
          method: 'POST',
          headers: { ...LEGACY, [header]: value },
          body: 'x',
        });
        t.match(
          answer,
          { status: 400, text: new RegExp(`^${header.toLowerCase()}: `) },
          JSON.stringify(name),
        );
      }
    }
    for (const id of ['', '../../../../x', 'AAAAAAAAAAAAAAAA', 'a'.repeat(15), 5]) {
      t.match(await rig.create({ ...startOf(), id }), { status: 400, text: /^id: / });
    }
    for (const started of ['../../x', '2026-13-01T00:00:00Z', '2026-01-01', '2026-01-01T00:00:00+01:00']) {
      t.match(await rig.create({ ...startOf(), started }), { status: 400, text: /^started: / });
    }
    t.equal(files(), before, 'nothing was stored');
  },
);

t.test('what is no metadata', async t => {
  const post = (body: string | Buffer, type = 'application/json') =>
    rig.ask('/sessions', { method: 'POST', headers: { 'Content-Type': type }, body });
  for (const text of ['', '{', '[]', 'null', '"x"', '{}', '1'.repeat(60_000)])
    t.equal((await post(text)).status, 400, text.slice(0, 9));
  t.equal((await post(Buffer.from([0x22, 0xff, 0x22]))).status, 400);
  t.equal((await post('x'.repeat(262_145))).status, 413);
  t.equal((await post(JSON.stringify(startOf()), 'text/json')).status, 415);
  t.equal((await post(JSON.stringify(startOf()), 'application/json; charset=utf-8')).status, 201);
  // What would make a manifest that looks complete.
  for (const member of ['end', 'files', 'offset', 'certificate']) {
    t.match(await rig.create({ ...startOf(), [member]: {} }), {
      status: 400,
      text: new RegExp(`^${member}: `),
    });
  }
  const chunked = await answerTo(
    'POST /sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
    `41000\r\n${'x'.repeat(0x41000)}\r\n0\r\n\r\n`,
  );
  t.match(chunked, /^HTTP\/1\.1 413 /);
  t.equal(
    (await rig.create({ ...startOf(), later_member: 1 })).status,
    201,
    'members of later versions are kept',
  );
});

t.test('each missing or doubled header of the original interface', async t => {
  const before = files();
  for (const header of ['Content-Type', 'X-Hostname', 'X-Username']) {
    const headers: Record<string, string> = { ...LEGACY };
    delete headers[header];
    const answer = await rig.ask('/transcript', { method: 'POST', headers, body: 'x' });
    t.equal(answer.status, header === 'Content-Type' ? 415 : 400, header);
  }
  for (const header of ['X-Hostname', 'X-Username', 'X-Gecos', 'Content-Type']) {
    const lines = Object.entries(LEGACY)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');
    const answer = await answerTo(
      `POST /transcript HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n${lines}${header}: bob\r\n\r\nx`,
    );
    t.match(answer, /^HTTP\/1\.1 400 /, header);
  }
  t.equal(files(), before);
  const { 'X-Gecos': _, ...without } = LEGACY;
  t.equal(
    (await rig.ask('/transcript', { method: 'POST', headers: without, body: 'x' })).status,
    200,
    'GECOS may be absent (fault 10)',
  );
});

t.test('paths and methods', async t => {
  t.match(await rig.ask('/transcript'), { status: 405, headers: { allow: 'POST' } });
  t.match(await rig.ask('/sessions'), { status: 405, headers: { allow: 'POST' } });
  t.match(await rig.ask('/sessions/aaaaaaaaaaaaaaaa', { method: 'DELETE' }), {
    status: 405,
    headers: { allow: 'HEAD, PATCH' },
  });
  for (const path of [
    '/',
    '/x',
    '/transcript/',
    '/transcript?x',
    '/sessions/',
    '/sessions/../transcript',
    '/sessions/AAAAAAAAAAAAAAAA',
    '//transcript',
  ]) {
    t.equal((await rig.ask(path, { method: 'POST' })).status, 404, path);
    t.equal((await rig.ask(path)).status, 404, path);
  }
  t.equal((await rig.head('aaaaaaaaaaaaaaaa')).status, 404);
  t.equal((await rig.append('aaaaaaaaaaaaaaaa', 0, Buffer.alloc(9))).status, 404);
  const json = await rig.ask('/x', { headers: { Accept: 'application/json' } });
  t.match(JSON.parse(json.text), { error: 'unknown-path', message: 'nothing here' });
});

t.test('headers of an append', async t => {
  const start = startOf();
  await rig.create(start);
  const patch = (headers: Record<string, string>) =>
    rig.ask(`/sessions/${start.id}`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/partial-upload', ...headers },
      body: 'x',
    });
  for (const [offset, complete] of [
    ['', '?0'],
    ['-1', '?0'],
    ['1e3', '?0'],
    ['0x0', '?0'],
    ['9'.repeat(17), '?0'],
    ['9'.repeat(16), '?0'],
    ['0', 'yes'],
    ['0', ''],
  ]) {
    t.equal(
      (await patch({ 'Upload-Offset': offset ?? '', 'Upload-Complete': complete ?? '' })).status,
      400,
      `${offset} ${complete}`,
    );
  }
  t.equal((await patch({ 'Upload-Complete': '?0' })).status, 400);
  t.equal((await patch({ 'Upload-Offset': '0' })).status, 400);
  t.equal(
    (await patch({ 'Upload-Offset': '0', 'Upload-Complete': '?0', 'Content-Encoding': 'gzip' })).status,
    415,
  );
  t.equal(
    (await patch({ 'Upload-Offset': '0', 'Upload-Complete': '?0', 'Content-Type': 'text/plain' })).status,
    415,
  );
  t.match((await rig.head(start.id)).headers, { 'upload-offset': '0' });
});

t.test('smuggling and header injection (fault 9 of the original)', async t => {
  const two =
    'Host: x\r\nContent-Type: application/typescript\r\nX-Hostname: vm\r\nX-Username: mallory\r\nX-Gecos: x\r\n';
  const attacks = [
    `POST /transcript HTTP/1.1\r\n${two}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST`,
    `POST /transcript HTTP/1.1\r\n${two}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`,
    `POST /transcript HTTP/1.1\r\n${two}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    `POST /transcript HTTP/1.1\r\n${two}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    `POST /transcript HTTP/1.1\r\n${two}X-Ssh-Client: a\n X-Username: root\r\nContent-Length: 1\r\n\r\nx`,
    `POST /transcript HTTP/1.1\n${two.replaceAll('\r', '')}Content-Length: 1\n\nx`,
    `POST /transcript HTTP/1.1\r\n${two}X-Ssh-Client: a\0b\r\nContent-Length: 1\r\n\r\nx`,
    `POST /transcript HTTP/1.1\r\n${two}X-Big: ${'x'.repeat(20_000)}\r\nContent-Length: 1\r\n\r\nx`,
    `POST /transcript HTTP/1.1\r\n${two}Content-Length: -1\r\n\r\nx`,
    'nonsense\r\n\r\n',
    '\x16\x03\x01\0',
  ];
  for (const attack of attacks) {
    const answer = await answerTo(attack);
    t.match(answer, /^HTTP\/1\.1 4\d\d /, JSON.stringify(attack.slice(-40)));
    t.equal(answer.match(/HTTP\/1\.1/g)?.length, 1, 'one answer');
  }
  t.notOk(existsSync(join(rig.store, 'mallory')));
});

t.test('values cannot make lines in the transcript', async t => {
  const start = startOf({
    gecos: 'x\nSession ended: never\r\x1b[2J\u2028',
    claims: { ssh_client: '\u0085\x7f\n\nls' },
  });
  await rig.create(start);
  t.equal(
    readFileSync(rig.transcript(start), 'utf8'),
    HEADER.replace(/GECOS: .*/, 'GECOS: x\\x0aSession ended: never\\x0d\\x1b[2J\\u2028').replace(
      /SSH_Client: .*/,
      'SSH_Client: \\x85\\x7f\\x0a\\x0als',
    ),
  );
  t.match(
    rig.manifest(start),
    { gecos: start.gecos, claims: start.claims },
    'the manifest has them as they were',
  );
  t.equal((await rig.create(startOf({ claims: { ssh_client: 5, term: '\n' } as never }))).status, 201);
});

t.test('other metadata for the same session', async t => {
  const start = startOf();
  await rig.create(start);
  t.equal((await rig.create({ ...start, gecos: 'other' })).status, 409);
  t.equal((await rig.create({ ...start, started: '2026-03-05T00:00:00Z' })).status, 409);
  t.equal((await rig.create({ ...start, username: 'bob' })).status, 409);
  const { version, ...rest } = start;
  t.equal((await rig.create({ ...rest, version })).status, 200, 'the order of members does not matter');
});

t.test(
  'event streams with flipped bits, cut anywhere: no crash, no change of what is acknowledged',
  async t => {
    const random = seeded(20261121);
    const stream = Buffer.concat([
      output(5, 'a'.repeat(40)),
      encodeEvent({ kind: Kind.input, time: 6, bytes: Buffer.from('ls') }),
      output(9, 'b'.repeat(30)),
      exit(12),
    ]);
    const seen = new Set<number>();
    for (let i = 0; i < 250; i++) {
      const start = startOf();
      await rig.create(start);
      const broken = Buffer.from(stream);
      const flips = Math.floor(random() * 3);
      for (let k = 0; k < flips; k++) {
        const bit = Math.floor(random() * broken.length * 8);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      }
      const body = broken.subarray(0, Math.floor(random() * (broken.length + 1)));
      const answer = await rig.append(start.id, 0, body, random() < 0.5);
      seen.add(answer.status);
      if (![204, 400].includes(answer.status)) t.fail(`${i}: ${answer.status} ${answer.text}`);
      const head = await rig.head(start.id);
      if (head.headers['upload-offset'] !== answer.headers['upload-offset'])
        t.fail(`${i}: ${head.headers['upload-offset']}`);
    }
    t.same([...seen].sort(), [204, 400]);
    t.equal(rig.child?.exitCode, null);
  },
);

t.test('a stream that breaks off keeps its whole events, and goes on', async t => {
  const start = startOf();
  await rig.create(start);
  const good = output(5, 'good');
  const bad = await rig.append(start.id, 0, Buffer.concat([good, Buffer.alloc(EVENT_HEADER, 0xff)]));
  t.match(bad, { status: 400, headers: { 'upload-offset': String(good.length) } });
  t.equal((await rig.append(start.id, good.length, output(4, 'back in time'))).status, 400);
  const early = await rig.append(start.id, good.length, output(6, ' more'), true);
  t.match(early, {
    status: 400,
    headers: { 'upload-offset': String(good.length + 17), 'upload-complete': '?0' },
  });
  const end = good.length + 17;
  const half = await rig.append(start.id, end, exit(7).subarray(0, 20), true);
  t.match(half, { status: 400, headers: { 'upload-offset': String(end), 'upload-complete': '?0' } });
  for (const payload of ['', '{}', 'null', '{"reason":"exit","status":900,"signal":null,"streams":{}}']) {
    const event = encodeEvent({ kind: Kind.exit, time: 7, bytes: Buffer.from(payload) });
    t.equal((await rig.append(start.id, end, event, true)).status, 400, payload);
  }
  const after = await rig.append(start.id, end, Buffer.concat([exit(7), output(8, 'ghost')]), true);
  t.match(after, { status: 400, headers: { 'upload-offset': String(end), 'upload-complete': '?0' } });
  t.match(
    (await rig.append(start.id, end, exit(7), false)).headers,
    { 'upload-complete': '?1' },
    'exit is the end',
  );
  t.equal(
    readFileSync(rig.transcript(start), 'utf8'),
    `${HEADER}good more\n\nSession ended: 2026-03-04T21:24:20Z\n`,
  );
});

t.test('a body that is cut off', async t => {
  const start = startOf();
  await rig.create(start);
  const stream = Buffer.concat([output(1, 'whole'), output(2, 'half')]);
  const socket = await raw();
  const head = `PATCH /sessions/${start.id} HTTP/1.1\r\nHost: x\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 0\r\nUpload-Complete: ?0\r\nContent-Length: 1000\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), stream.subarray(0, -2)]));
  await sleep(50);
  socket.destroy();
  for (let i = 0; i < 100 && (await rig.head(start.id)).headers['upload-offset'] === '0'; i++)
    await sleep(20);
  t.equal((await rig.head(start.id)).headers['upload-offset'], '17');
  t.equal(
    (await rig.append(start.id, 17, stream.subarray(17))).headers['upload-offset'],
    String(stream.length),
  );
  t.equal(readFileSync(rig.transcript(start), 'utf8'), `${HEADER}wholehalf`);
});

t.test("an original's body that is cut off is kept, and marked", async t => {
  const socket = await raw();
  const lines = Object.entries({ ...LEGACY, 'X-Username': 'cut' })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  socket.write(
    `POST /transcript HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n${lines}\r\n5\r\nhello\r\n`,
  );
  const [json = ''] = await until(() => globSync('cut/**/*.json', { cwd: rig.store }));
  const path = join(rig.store, json.replace(/\.json$/, ''));
  await until(() => /COMMIT 5\n$/.test(readFileSync(`${path}.timing`, 'utf8')));
  t.pass('durable while it runs');
  socket.destroy();
  await until(() => readFileSync(`${path}.json`, 'utf8').includes('cut-off'));
  t.match(JSON.parse(readFileSync(`${path}.json`, 'utf8')), {
    end: { reason: 'cut-off', status: null },
    offset: 5,
  });
  t.match(
    readFileSync(path, 'utf8'),
    /\n\n\nhello\n\nSession ended: [-\dT:]+Z\nSession cut off: the connection ended before the session did\n$/,
  );
});

t.test('many appends at once: each byte is stored once', async t => {
  const start = startOf();
  await rig.create(start);
  const events = Array.from({ length: 200 }, (_, i) => output(i, `line ${i}\n`));
  const stream = Buffer.concat(events);
  const random = seeded(7);
  const starts = events.map((_, i) => Buffer.concat(events.slice(0, i)).length);
  const statuses = new Set<number>();
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      const from = starts[Math.floor(random() * 20)] ?? 0;
      const answer = await rig.append(
        start.id,
        from,
        stream.subarray(from, from + Math.floor(random() * stream.length)),
      );
      statuses.add(answer.status);
    }),
  );
  t.same(
    [...statuses].filter(status => status !== 204 && status !== 409),
    [],
  );
  const offset = Number((await rig.head(start.id)).headers['upload-offset']);
  t.equal((await rig.append(start.id, offset, stream.subarray(offset))).status, 204);
  t.equal(
    readFileSync(rig.transcript(start), 'utf8'),
    `${HEADER}${events.map((_, i) => `line ${i}\n`).join('')}`,
  );
});

t.test('a newer append ends an older one that hangs', async t => {
  const start = startOf();
  await rig.create(start);
  const first = output(1, 'first');
  const socket = await raw();
  let text = '';
  socket.on('data', piece => {
    text += piece;
  });
  const head = `PATCH /sessions/${start.id} HTTP/1.1\r\nHost: x\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 0\r\nUpload-Complete: ?0\r\nContent-Length: 1000\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), first]));
  await until(() => readFileSync(rig.transcript(start), 'utf8').endsWith('first'));
  const second = output(2, 'second');
  const answer = await rig.append(start.id, 0, Buffer.concat([first, second]));
  t.match(answer, { status: 204, headers: { 'upload-offset': String(first.length + second.length) } });
  await until(() => text);
  t.match(text, /^HTTP\/1\.1 409 [\s\S]*upload-offset: 17\r\n/i);
  socket.destroy();
  t.equal(readFileSync(rig.transcript(start), 'utf8'), `${HEADER}firstsecond`);
});

t.test('Expect: 100-continue', async t => {
  const lines = Object.entries(LEGACY)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  const head = (more: string) =>
    `POST /transcript HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n${more}\r\n`;
  const refused = await answerTo(head(lines.replace('vm', 'other')));
  t.match(
    refused,
    /^HTTP\/1\.1 403 [\s\S]*connection: close/i,
    'refused before the body, and nothing else is read',
  );
  t.match(await answerTo(head(lines).replace('100-continue', 'magic')), /^HTTP\/1\.1 417 /);
});

t.test('a symbolic link in the way is not followed', async t => {
  const start = startOf({ username: 'linked' });
  const target = rig.path('elsewhere');
  mkdirSync(target);
  symlinkSync(target, join(rig.store, 'linked'));
  t.equal((await rig.create(start)).status, 500);
  const other = startOf({ username: 'linkfile' });
  const path = rig.transcript(other);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(join(target, 'x'), path);
  t.equal((await rig.create(other)).status, 500);
  t.same(readdirSync(target), []);
});

t.test('killed in the middle: what was acknowledged is there, the rest comes again', async t => {
  const start = startOf();
  await rig.create(start);
  const line = 'The quick brown fox jumps over the lazy dog.\r\n'.repeat(80);
  const events = Array.from({ length: 4_000 }, (_, i) => output(i * 1_000, `${i} ${line}`));
  const stream = Buffer.concat([...events, exit(5e6)]);
  const random = seeded(99);
  let offset = 0;
  let kills = 0;
  while (offset < stream.length) {
    const piece = stream.subarray(offset, offset + 1_500_000);
    const killed = kills < 6 && random() < 0.6;
    const request = rig
      .append(start.id, offset, piece, offset + piece.length === stream.length)
      .catch(() => null);
    if (killed) {
      kills++;
      await sleep(random() * 30);
      await rig.stop('SIGKILL');
      await request;
      if (kills === 2) truncateSync(rig.transcript(start), statSync(rig.transcript(start)).size - 1);
      writeFileSync(`${rig.transcript(start)}.timing`, 'O 0.0', { flag: 'a' });
      await rig.run();
      t.equal((await rig.head(start.id)).status, 404, 'forgotten');
      const again = await rig.create(start);
      t.equal(again.status, 200);
      const there = Number(again.headers['upload-offset']);
      t.ok(kills === 2 || there >= offset, `${there} of ${offset}`);
      offset = there;
      continue;
    }
    const answer = await request;
    if (answer?.status !== 204) throw new Error(`${answer?.status} ${answer?.text}`);
    offset = Number(answer.headers['upload-offset']);
  }
  const text = events.map(event => event.toString('latin1', EVENT_HEADER)).join('');
  t.ok(kills > 2);
  t.equal(
    readFileSync(rig.transcript(start), 'latin1') ===
      `${HEADER}${text}\n\nSession ended: 2026-03-04T21:24:25Z\n`,
    true,
  );
  t.match(rig.manifest(start), { end: END, offset: stream.length });
  const shown = execFileSync(
    'scriptreplay',
    ['-T', `${rig.transcript(start)}.timing`, '-O', rig.transcript(start), '-d', '100000'],
    { encoding: 'latin1', maxBuffer: 1e9 },
  );
  t.equal(shown.includes(text), true, 'and plays');
});

t.test('an end that was written but not sealed is taken off again', async t => {
  const start = startOf();
  await rig.create(start);
  const stream = Buffer.concat([output(1, 'abc'), exit(2)]);
  await rig.append(start.id, 0, stream, true);
  await rig.stop('SIGKILL');
  // As a crash before the manifest's rename leaves it.
  const { end, ended, offset, files, ...open } = rig.manifest(start) as unknown as Record<string, unknown>;
  t.ok(end && ended && offset && files);
  writeFileSync(`${rig.transcript(start)}.json`, JSON.stringify(open));
  writeFileSync(`${rig.transcript(start)}.json.new`, '{');
  await rig.run();
  t.match(await rig.create(start), {
    status: 200,
    headers: { 'upload-offset': '15', 'upload-complete': '?0' },
  });
  t.equal(readFileSync(rig.transcript(start), 'utf8'), `${HEADER}abc`);
  t.equal((await rig.append(start.id, 15, stream.subarray(15), true)).status, 204);
  t.equal(
    readFileSync(rig.transcript(start), 'utf8'),
    `${HEADER}abc\n\nSession ended: 2026-03-04T21:24:20Z\n`,
  );
  t.notOk(existsSync(`${rig.transcript(start)}.json.new`));
});

t.test('a torn creation is begun again', async t => {
  for (const torn of ['', '.json', '.timing']) {
    const start = startOf();
    await rig.create(start);
    await rig.stop('SIGKILL');
    truncateSync(`${rig.transcript(start)}${torn}`, 0);
    await rig.run();
    t.match(await rig.create(start), { status: 200, headers: { 'upload-offset': '0' } });
    t.equal((await rig.append(start.id, 0, Buffer.concat([output(1, 'abc'), exit(2)]), true)).status, 204);
    t.equal(
      readFileSync(rig.transcript(start), 'utf8'),
      `${HEADER}abc\n\nSession ended: 2026-03-04T21:24:20Z\n`,
    );
    t.match(rig.manifest(start), start);
  }
});

t.test("an original's session that a crash of ours cut off is ended at the next start", async t => {
  const socket = await raw();
  const lines = Object.entries({ ...LEGACY, 'X-Username': 'crashed' })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  socket.write(
    `POST /transcript HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n${lines}\r\n5\r\nhello\r\n`,
  );
  const [json] = await until(() => globSync('crashed/**/*.json', { cwd: rig.store }));
  const path = join(rig.store, json?.replace(/\.json$/, '') ?? '');
  await until(() => /COMMIT 5\n$/.test(readFileSync(`${path}.timing`, 'utf8')));
  await rig.stop('SIGKILL');
  // Bytes that were not committed yet, and a note that a crash has torn.
  writeFileSync(path, 'torn', { flag: 'a' });
  const notes = join(rig.store, '.unfinished');
  t.equal(readdirSync(notes).length, 1);
  writeFileSync(join(notes, 'aaaaaaaaaaaaaaaa'), '{');
  await rig.run();
  t.match(JSON.parse(readFileSync(`${path}.json`, 'utf8')), { end: { reason: 'cut-off' }, offset: 5 });
  t.match(readFileSync(path, 'utf8'), /\n\n\nhello\n\nSession ended: .*Z\nSession cut off: .*\n$/);
  t.same(readdirSync(notes), ['aaaaaaaaaaaaaaaa'], 'what cannot be ended stays for people to see');
  t.ok(rig.log.some(({ msg, id }) => id === 'aaaaaaaaaaaaaaaa' && /cannot be ended/.test(msg)));
});

t.test('SIGTERM: what came is committed, the client told to come again', async t => {
  const start = startOf();
  await rig.create(start);
  const socket = await raw();
  let text = '';
  socket.on('data', piece => {
    text += piece;
  });
  const head = `PATCH /sessions/${start.id} HTTP/1.1\r\nHost: x\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 0\r\nUpload-Complete: ?0\r\nContent-Length: 1000\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), output(1, 'abc')]));
  const legacy = await raw();
  const lines = Object.entries({ ...LEGACY, 'X-Username': 'stopped' })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  legacy.write(
    `POST /transcript HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n${lines}\r\n5\r\nhello\r\n`,
  );
  await until(() => readFileSync(rig.transcript(start), 'utf8').endsWith('abc'));
  const [path = ''] = await until(() =>
    globSync('stopped/**/transcript_*_????????????????', { cwd: rig.store }),
  );
  await until(() => readFileSync(join(rig.store, path), 'utf8').endsWith('hello'));
  t.equal(await rig.stop('SIGTERM'), 0);
  t.match(text, /^HTTP\/1\.1 503 [\s\S]*Retry-After: 1\r\n[\s\S]*Upload-Offset: 15\r\n/);
  const [json = ''] = globSync('stopped/**/*.json', { cwd: rig.store });
  t.match(JSON.parse(readFileSync(join(rig.store, json), 'utf8')), { end: { reason: 'cut-off' }, offset: 5 });
  await rig.run();
  t.match(await rig.create(start), { status: 200, headers: { 'upload-offset': '15' } });
});

t.test('no room: 507, and what is stored stays as it is', async t => {
  const little = await Rig.start(['min_free 8000T']);
  t.teardown(() => little.end());
  t.equal((await little.create(startOf())).status, 507);
  t.equal((await little.ask('/transcript', { method: 'POST', headers: LEGACY, body: 'x' })).status, 507);
  t.same(readdirSync(little.store), []);

  t.test('in the middle of an append', async t => {
    const full = new Rig();
    await full.prepare();
    // No file of this process may grow beyond a megabyte: to its writes that is a full disk.
    await full.run(undefined, 'ulimit -f 1000');
    t.teardown(() => full.end());
    const start = startOf();
    await full.create(start);
    const first = output(1, 'first');
    await full.append(start.id, 0, first);
    const flood = Buffer.concat(Array.from({ length: 40 }, (_, i) => output(i + 2, 'x'.repeat(60_000))));
    const answer = await full.append(start.id, first.length, flood);
    t.match(answer, { status: 507, headers: { 'upload-offset': String(first.length) } });
    t.equal(readFileSync(full.transcript(start), 'utf8'), `${HEADER}first`);
    const end = await full.append(start.id, first.length, exit(50), true);
    t.match(end, { status: 204, headers: { 'upload-complete': '?1' } });
    t.equal(
      readFileSync(full.transcript(start), 'utf8'),
      `${HEADER}first\n\nSession ended: 2026-03-04T21:24:20Z\n`,
    );

    const legacy = await full.ask('/transcript', {
      method: 'POST',
      headers: LEGACY,
      body: 'y'.repeat(2_000_000),
    });
    t.equal(legacy.status, 507);
    const [json = ''] = globSync('alice/vm/2*/**/*.json', { cwd: full.store }).filter(
      name => !name.includes(start.id),
    );
    t.match(JSON.parse(readFileSync(join(full.store, json), 'utf8')), { end: { reason: 'cut-off' } });
  });
});

t.test('slow clients', async t => {
  const slow = await Rig.start(['header_timeout 2s', 'idle_timeout 2s', 'max_connections 8']);
  t.teardown(() => slow.end());
  const ended = async (...bytes: string[]): Promise<string> => {
    const { certificate: cert, key } = slow.client;
    const socket = connect({
      host: '127.0.0.1',
      port: slow.port,
      servername: 'localhost',
      ca: slow.authority.certificate,
      cert,
      key,
    });
    let text = '';
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', piece => {
      text += piece;
    });
    for (const piece of bytes) socket.write(piece);
    await once(socket, 'close');
    return text;
  };
  const start = startOf();
  await slow.create(start);
  const patch = `PATCH /sessions/${start.id} HTTP/1.1\r\nHost: x\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 0\r\nUpload-Complete: ?0\r\nContent-Length: 1000\r\n\r\n`;
  const post =
    'POST /sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{';
  const [silent, header, body, json] = await Promise.all([
    ended(),
    ended('POST /tr'),
    ended(patch, output(1, 'abc').toString('latin1')),
    ended(post),
  ]);
  t.match(silent, /^(HTTP\/1\.1 408 |$)/);
  t.match(header, /^HTTP\/1\.1 408 /);
  t.match(body, /^HTTP\/1\.1 408 [\s\S]*upload-offset: 15\r\n/i);
  t.match(json, /^HTTP\/1\.1 408 /);
  const { connect: plain } = await import('node:net');
  const handshake = plain(slow.port, '127.0.0.1');
  await once(handshake.on('error', () => {}).resume(), 'close');
  t.pass('no handshake');

  const many = Array.from({ length: 20 }, () =>
    plain(slow.port, '127.0.0.1')
      .on('error', () => {})
      .resume(),
  );
  await sleep(200);
  t.ok(many.filter(socket => socket.readyState === 'open').length <= 8, 'most connections');
  for (const socket of many) socket.destroy();
});

t.test("systemd's socket", async t => {
  const { createServer } = await import('node:net');
  const { spawn } = await import('node:child_process');
  const listener = createServer();
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  const handle = (listener as unknown as { _handle: { fd: number } })._handle;
  const activated = new Rig();
  await activated.prepare();
  t.teardown(() => activated.end());
  const main = new URL('../src/receiver/main.ts', import.meta.url).pathname;
  // What systemd does: the descriptor is 3, LISTEN_PID the process.
  const script = 'LISTEN_FDS=1 LISTEN_FDNAMES=receiver LISTEN_PID=$$ exec "$0" "$@"';
  const child: ChildProcess = spawn(
    '/bin/sh',
    ['-c', script, process.execPath, main, '-c', activated.path('receiver.conf')],
    {
      stdio: ['ignore', 'ignore', 'pipe', handle.fd],
    },
  );
  activated.child = child;
  await once(child.stderr as NodeJS.ReadableStream, 'data');
  listener.close();
  activated.port = port;
  t.equal((await activated.create(startOf())).status, 201);
});

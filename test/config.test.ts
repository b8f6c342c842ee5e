import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ConfigError, lex } from '../src/config/lexer.ts';
import {
  dumpReceiverConf,
  parseReceiverConf,
  RECEIVER_DIRECTIVES,
  type ReceiverConf,
} from '../src/config/receiver_conf.ts';
import {
  dumpTtyspyConf,
  parseTtyspyConf,
  TTYSPY_DIRECTIVES,
  type TtyspyConf,
} from '../src/config/ttyspy_conf.ts';
import { loadReceiverConf, loadTtyspyConf } from '../src/os/config_file.ts';

const NEEDED = 'username daemon\nsocket /run/ttyspy.sock\nendpoint https://archive.example/\n';

/** The message of the ConfigError that `text` gives, without the file. */
function problem(text: string, parse: (text: string, file: string) => unknown = parseTtyspyConf): string {
  try {
    parse(text, 'f');
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'none';
}

t.test("the original's configuration", async t => {
  const file = join(import.meta.dirname, 'fixtures/config/original.conf');
  t.matchOnly(parseTtyspyConf(readFileSync(file, 'utf8'), file), {
    username: 'daemon',
    socket: '/tmp/ttyspy.sock',
    endpoint: ['https://server.test/transcript'],
    ca_path: '/etc/ttyspy/ca.pem',
    cert_path: '/etc/ttyspy/client.pem',
    key_path: '/etc/ttyspy/client.pem',
    spool_path: '/var/spool/ttyspy',
    spool_limit: 1024 ** 3,
    spool_sync: 1000,
    on_failure: 'closed',
    record_root: false,
    command_capture: 4 * 1024 ** 2,
    max_sessions: 4096,
    max_sessions_per_user: 64,
    trusted_user_ca_keys: null,
    hostname: null,
    shell: null,
  });
});

t.test('syntax', async t => {
  const words = (text: string) => lex(text, 'f').directives.map(words => words.map(word => word.text));
  t.same(words('a b;c\td # e\n\n  ; f"g h"\\ i "" # j'), [
    ['a', 'b'],
    ['c', 'd'],
    ['fg h i', ''],
  ]);
  t.same(words('\ufeffa\r\nb\rc'), [['a'], ['b'], ['c']]);
  t.same(words('a#b'), [['a']]);
  t.same(words('"a;#{}\\"\\\\"'), [['a;#{}"\\']]);
  const [, second] = lex('a\r\n  b', 'f').directives;
  t.matchOnly(second, [{ text: 'b', file: 'f', line: 2, column: 3 }]);
  t.equal(problem('socket "/a\n"'), 'f:1:8: quote is not closed on its line');
  t.equal(problem('socket /a\\'), 'f:1:10: backslash at the end of a line');
  t.equal(
    problem('\n socket {'),
    'f:2:9: there are no blocks in this file; write "{" in quotes if it is meant',
  );
  t.equal(problem('socket /a\u001b[2J'), 'f:1:10: control character U+001B');
  t.equal(problem(`socket /${Buffer.from([0xe9]).toString()}`), 'f:1:9: not UTF-8');
  t.equal(
    problem(`${NEEDED}# caf${Buffer.from([0xe9]).toString()}`),
    'none',
    'a comment may be of any encoding',
  );
});

t.test('every kind of error names its place', async t => {
  const cases: readonly [text: string, message: string][] = [
    ['endpiont https://a/', 'f:1:1: unknown directive "endpiont"; the nearest is endpoint'],
    ['\n\tspoollimit 1G', 'f:2:2: unknown directive "spoollimit"; the nearest is spool_limit'],
    ['user a', 'f:1:1: unknown directive "user"; the nearest is username'],
    ['__proto__ a', 'f:1:1: unknown directive "__proto__"; the nearest is ca_path'],
    ['socket', 'f:1:1: socket needs a value: an absolute path'],
    ['socket /a b', 'f:1:11: socket takes one value; write it in quotes if it contains blanks'],
    ['socket a', 'f:1:8: socket is "a", but must be an absolute path'],
    ['socket ""', 'f:1:8: socket is "", but must be an absolute path'],
    ['socket /a\nsocket /a', 'f:2:1: socket is there already, in line 1; only one may be'],
    ['username a/b', 'f:1:10: username is "a/b", but must be a name without slashes and blanks'],
    ['record_root true', 'f:1:13: record_root is "true", but must be yes or no'],
    ['on_failure Open', 'f:1:12: on_failure is "Open", but must be closed or open'],
    ['max_sessions 0', 'f:1:14: max_sessions is "0", but must be a whole number from 1 to 1000000'],
    ['max_sessions 1e3', 'f:1:14: max_sessions is "1e3", but must be a whole number from 1 to 1000000'],
    ['', 'f:1:1: username is missing; add a line: username and a name without slashes and blanks'],
  ];
  for (const [text, message] of cases) t.equal(problem(text), message, JSON.stringify(text));
  for (const url of ['http://a/', 'https://', 'a', 'https://u:p@a/', 'https://a/"#b"', 'https://u@a']) {
    t.match(problem(`endpoint ${url}`), /^f:1:10: endpoint is .* but must be an https URL/);
  }
  for (const listen of ['65536', 'a:b', ':1', '[::1]', '::1:80', '1.2.3.4', '-1', 'a b']) {
    t.match(problem(`listen "${listen}"`, parseReceiverConf), /^f:1:8: listen is/, listen);
  }
  t.match(problem('listen 1', parseReceiverConf), /^f:1:9: ca_path is missing/);
});

t.test('values', async t => {
  const conf = (line: string) => parseTtyspyConf(NEEDED + line, 'f');
  for (const [word, bytes] of [
    ['0', 0],
    ['1', 1],
    ['4k', 4096],
    ['4M', 4_194_304],
    ['2T', 2_199_023_255_552],
  ] as const) {
    t.equal(conf(`spool_limit ${word}`).spool_limit, bytes);
  }
  for (const word of ['4X', 'M', '-1', '1.5G', '9007199254740993', '9999T', '4 M']) {
    t.match(problem(`spool_limit "${word}"`), /must be a size/);
  }
  for (const [word, value] of [
    ['always', 'always'],
    ['500ms', 500],
    ['30s', 30_000],
    ['10m', 600_000],
    ['1h', 3_600_000],
  ] as const) {
    t.equal(conf(`spool_sync ${word}`).spool_sync, value);
  }
  for (const word of ['1', '0s', '2h', '1M', 'never'])
    t.match(problem(`spool_sync ${word}`), /must be a time/);
  t.same(conf('endpoint https://b:1/x').endpoint, ['https://archive.example/', 'https://b:1/x']);
  t.equal(conf('cert_path /c').key_path, '/c', 'the key is in the file of the certificate');

  const listen = (word: string) => parseReceiverConf(`ca_path /a; cert_path /c; listen ${word}`, 'f').listen;
  t.same(listen('8090'), { host: null, port: 8090 });
  t.same(listen('127.0.0.1:0'), { host: '127.0.0.1', port: 0 });
  t.same(listen('[::1]:443'), { host: '::1', port: 443 });
  t.same(listen('archive.example:443'), { host: 'archive.example', port: 443 });
});

t.test('dump, parse, dump gives the same', async () => {
  const path = fc
    .string({ unit: 'binary', maxLength: 40 })
    .map(text => `/${text.replace(/[\p{Cc}\p{Cs}\ufffd]/gu, '')}`);
  const name = fc.stringMatching(/^[a-z_.][a-z0-9_.$"\\#;{}ä-]{0,30}$/).filter(text => !/^\.\.?$/.test(text));
  const size = fc.oneof(
    fc.maxSafeNat(),
    fc.tuple(fc.nat(1000), fc.constantFrom(1, 1024, 1024 ** 2, 1024 ** 3)).map(([a, b]) => a * b),
  );
  const maybePath = fc.option(path);
  const sessions = fc.integer({ min: 1, max: 1_000_000 });

  const ttyspy: fc.Arbitrary<TtyspyConf> = fc
    .record({
      username: name,
      socket: path,
      endpoint: fc.array(fc.webUrl({ validSchemes: ['https'], withQueryParameters: true }), { minLength: 1 }),
      ca_path: maybePath,
      cert_path: maybePath,
      key_path: maybePath,
      spool_path: path,
      spool_limit: size,
      spool_sync: fc.oneof(fc.integer({ min: 10, max: 3_600_000 }), fc.constant('always' as const)),
      on_failure: fc.constantFrom('closed', 'open'),
      record_root: fc.boolean(),
      command_capture: size,
      max_sessions: sessions,
      max_sessions_per_user: sessions,
      trusted_user_ca_keys: maybePath,
      hostname: fc.option(name),
      shell: maybePath,
    })
    .map(conf => ({
      ...conf,
      endpoint: conf.endpoint.map(url => new URL(url).href),
      key_path: conf.key_path ?? conf.cert_path,
    }));
  fc.assert(
    fc.property(ttyspy, conf => {
      const text = dumpTtyspyConf(conf);
      const parsed = parseTtyspyConf(text, 'f');
      assert.deepEqual(parsed, conf);
      assert.equal(dumpTtyspyConf(parsed), text);
    }),
    { seed: 1, numRuns: 200 },
  );

  const receiver: fc.Arbitrary<ReceiverConf> = fc.record(
    {
      listen: fc
        .tuple(fc.option(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain())), fc.nat(65_535))
        .map(([host, port]) => ({ host, port })),
      store: path,
      ca_path: path,
      cert_path: path,
      key_path: path,
      crl_path: maybePath,
      hostname_check: fc.boolean(),
      min_free: size,
      max_connections: sessions,
      header_timeout: fc.integer({ min: 100, max: 600_000 }),
      idle_timeout: fc.integer({ min: 1000, max: 86_400_000 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(receiver, conf => {
      const text = dumpReceiverConf(conf);
      const parsed = parseReceiverConf(text, 'f');
      assert.deepEqual(parsed, conf);
      assert.equal(dumpReceiverConf(parsed), text);
    }),
    { seed: 2, numRuns: 200 },
  );
});

t.test('any text at all: a configuration or a ConfigError', async t => {
  const names = [...Object.keys(TTYSPY_DIRECTIVES), ...Object.keys(RECEIVER_DIRECTIVES)];
  const piece = fc.oneof(fc.constantFrom(...names, ' ', '\n', ';', '"', '\\', '#', '/a'), fc.string());
  fc.assert(
    fc.property(fc.array(piece), pieces => {
      problem(pieces.join(''));
      problem(pieces.join(''), parseReceiverConf);
    }),
    { seed: 3, numRuns: 2000 },
  );
  t.pass('nothing else was thrown');
});

t.test('the manual says something of every directive', async t => {
  for (const [name, directive] of Object.entries({ ...TTYSPY_DIRECTIVES, ...RECEIVER_DIRECTIVES })) {
    t.match(directive.about, /^[A-Z].*\.$/s, name);
  }
});

t.test('files', async t => {
  const dir = t.testdir({ 'a.conf': NEEDED, 'b.conf': 'socket', 'r.conf': 'ca_path /a; cert_path /c' });
  t.equal(loadTtyspyConf(join(dir, 'a.conf')).username, 'daemon');
  t.equal(loadReceiverConf(join(dir, 'r.conf')).key_path, '/c');
  t.throws(() => loadTtyspyConf(join(dir, 'b.conf')), { code: 'CONFIG_INVALID', line: 1, column: 1 });
  t.throws(() => loadTtyspyConf(join(dir, 'none')), {
    code: 'ENOENT',
    message: `${join(dir, 'none')}: there is no such file; create it, or name another with -c`,
  });
  mkdirSync(join(dir, 'd'));
  t.throws(() => loadTtyspyConf(join(dir, 'd')), { message: /is a directory/ });
  writeFileSync(join(dir, 'secret'), NEEDED);
  chmodSync(join(dir, 'secret'), 0);
  t.throws(
    () => loadTtyspyConf(join(dir, 'secret')),
    { message: /not readable by this user/ },
    {
      skip: process.getuid?.() === 0 && 'root reads everything',
    },
  );
});

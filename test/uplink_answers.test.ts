/** What answers and errors mean, and how long they are waited for; the command line. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { position, refusal } from '../src/uplink/answers.ts';
import { backoff, HOPELESS_WAIT_MS, MAX_WAIT_MS, retryAfter } from '../src/uplink/backoff.ts';
import { Endpoint } from '../src/uplink/endpoint.ts';
import { EndpointChoice } from '../src/uplink/endpoint_choice.ts';
import type { Answer } from '../src/uplink/exchange.ts';
import { isTlsError } from '../src/uplink/failure.ts';
import { loadIdentity } from '../src/uplink/tls_identity.ts';

function answer(status: number, headers: Answer['headers'] = {}, text = ''): Answer {
  return { status, headers, text, protocol: 'TLSv1.3' };
}

t.test('back-off: full jitter, bounded', async t => {
  t.equal(backoff(1, 0), 0);
  t.equal(backoff(1, 0.999), 499);
  t.equal(backoff(3, 0.5), 1000);
  for (let failures = 1; failures < 2000; failures += 7) t.ok(backoff(failures, 0.9999) < MAX_WAIT_MS);
});

t.test('Retry-After', async t => {
  const now = Date.parse('2026-03-04T05:06:07Z');
  t.equal(retryAfter('120', now), 120_000);
  t.equal(retryAfter('Wed, 04 Mar 2026 05:06:10 GMT', now), 3000);
  t.equal(retryAfter('Wed, 04 Mar 2020 05:06:10 GMT', now), 0);
  t.equal(retryAfter('999999999', now), HOPELESS_WAIT_MS);
  for (const none of [undefined, '', 'soon', '-1e9x']) t.equal(retryAfter(none, now), null);
});

t.test('who waits for which status', async t => {
  const scopes = {
    400: 'hopeless',
    403: 'hopeless',
    404: 'endpoint',
    409: 'hopeless',
    413: 'hopeless',
    429: 'endpoint',
    500: 'session',
    503: 'endpoint',
    507: 'endpoint',
    200: 'endpoint',
    302: 'endpoint',
  };
  for (const [status, scope] of Object.entries(scopes)) {
    t.equal(refusal('https://archive/', answer(Number(status))).scope, scope, status);
  }
  const full = refusal('https://archive/', answer(507, { 'retry-after': '60' }, 'no space left'));
  t.match(full, { wait: 60_000, message: 'https://archive/: answered 507 no space left' });
});

t.test('positions', async t => {
  t.same(position(answer(204, { 'upload-offset': '42', 'upload-complete': '?1' })), {
    offset: 42,
    complete: true,
  });
  t.same(position(answer(204, { 'upload-offset': '0' })), { offset: 0, complete: false });
  for (const offset of ['', '-1', '1.5', 'x', '1e3', '9'.repeat(16)]) {
    t.equal(position(answer(204, { 'upload-offset': offset })), null);
  }
});

t.test("errors of TLS are the endpoint's", async t => {
  for (const code of ['CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER']) {
    t.ok(isTlsError(Object.assign(new Error(), { code })), code);
  }
  for (const code of ['ECONNRESET', 'ETIMEDOUT']) t.notOk(isTlsError(Object.assign(new Error(), { code })));
});

t.test('endpoints: paths, and which is used', async t => {
  const context = loadIdentity({ ca: null, cert: null, key: null });
  const paths = (url: string): string[] => {
    const endpoint = new Endpoint(url, context);
    return [endpoint.sessionsPath, endpoint.transcriptPath];
  };
  t.same(paths('https://archive:8090/transcript'), ['/sessions', '/transcript']);
  t.same(paths('https://archive:8090'), ['/sessions', '/transcript']);
  t.same(paths('https://archive/below/transcript'), ['/below/sessions', '/below/transcript']);

  const [a, b] = [new Endpoint('https://a/', context), new Endpoint('https://b/', context)];
  const choice = new EndpointChoice([a, b]);
  t.equal(choice.usable(1000), a);
  a.failed(1000, 50);
  t.equal(choice.usable(1000), b);
  t.equal(choice.usable(2000), b, 'stays with the one that works');
  b.failed(2000, 500);
  t.equal(choice.usable(2000), a);
  a.failed(2000, 100);
  t.equal(choice.usable(2000), null);
  t.equal(choice.next, 2100);
  t.equal(choice.usable(2100), a);
});

t.test('the command line', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'ttyspy-uplink-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const conf = join(directory, 'ttyspy.conf');
  const main = join(import.meta.dirname, '../src/uplink/main.ts');
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', input: '', cwd: '/', timeout: 60_000 });

  writeFileSync(conf, `username x\nsocket ${directory}/s\nendpoint https://a.example/\n`);
  const dumped = run('-c', conf, '-T');
  t.equal(dumped.status, 0);
  writeFileSync(join(directory, 'again'), dumped.stdout);
  t.equal(
    execFileSync(process.execPath, [main, '-T', '-c', join(directory, 'again')], { encoding: 'utf8' }),
    dumped.stdout,
  );
  t.match(run('-c', conf, '-n'), { status: 0, stdout: '', stderr: '' });
  t.match(run('-x'), { status: 64, stderr: /usage: ttyspy-uplink/ });
  t.match(run('-c', conf, 'more'), { status: 64 });
  t.match(run('-h'), { status: 0, stdout: /usage: ttyspy-uplink/ });
  t.match(run('-c', join(directory, 'none')), { status: 78, stderr: /no such file/ });
  writeFileSync(
    conf,
    `username x\nsocket ${directory}/s\nendpoint https://a.example/\nca_path ${directory}/no\n`,
  );
  t.match(run('-c', conf, '-n'), { status: 78, stderr: /^ttyspy-uplink: ca_path .*no: ENOENT/ });
  writeFileSync(join(directory, 'no'), 'no certificate');
  t.match(run('-c', conf), { status: 78, stderr: /has no certificate in PEM/ });
});

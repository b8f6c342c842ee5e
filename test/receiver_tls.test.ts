import '../src/ctl/pki/reflect_metadata.ts';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import type { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import * as x509 from '@peculiar/x509';
import t, { type Test } from 'tap';
import { createAuthority, createCrl, issueClient, issueServer } from '../src/ctl/pki/certificates.ts';
import { parseArguments } from '../src/receiver/arguments.ts';
import { Identity } from '../src/receiver/identity.ts';
import { appendHeaders, output, Rig, startOf } from './fixtures/receiver/rig.ts';

const rig = new Rig();
await rig.prepare();
const crl = rig.path('crl.pem');
writeFileSync(crl, await createCrl(rig.authority, [], { number: 1 }));
rig.configure([`crl_path ${crl}`]);
await rig.run();
t.teardown(() => rig.end());

const LEGACY = {
  'Content-Type': 'application/typescript',
  'X-Hostname': 'vm',
  'X-Username': 'alice',
  'X-Gecos': 'Alice',
};

const post = (agent: Agent, headers: Record<string, string> = {}) =>
  rig.ask('/transcript', { method: 'POST', headers: { ...LEGACY, ...headers }, body: 'x', agent });

/** How TLS refuses a client, and that nothing was stored for it. */
async function refused(t: Test, agent: Agent): Promise<void> {
  const before = rig.log.length;
  await t.rejects(post(agent));
  for (let i = 0; i < 500 && rig.log.length === before; i++) await sleep(10);
  t.match(rig.log[before], { msg: /^TLS refused: / });
  t.same(readdirSync(rig.store), []);
}

t.test('TLS: no certificate', t => refused(t, rig.agentOf(null)));

t.test('TLS: of another authority', async t => {
  const other = await createAuthority('test authority');
  await refused(t, rig.agentOf(await issueClient(other, ['vm'])));
});

t.test('TLS: expired, not yet valid', async t => {
  const day = 86_400_000;
  const at = (days: number) => new Date(Date.now() + days * day);
  await refused(
    t,
    rig.agentOf(await issueClient(rig.authority, ['vm'], { notBefore: at(-2), notAfter: at(-1) })),
  );
  await refused(
    t,
    rig.agentOf(await issueClient(rig.authority, ['vm'], { notBefore: at(1), notAfter: at(2) })),
  );
});

t.test("TLS: a receiver's certificate is no bastion's", async t => {
  await refused(t, rig.agentOf(await issueServer(rig.authority, ['vm'])));
});

t.test('TLS: 1.1 is refused, a name that the receiver has not is refused by the client', async t => {
  await refused(
    t,
    rig.agentOf(rig.client, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' }),
  );
  await t.rejects(post(rig.agentOf(rig.client, { servername: 'other.example' })), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
});

t.test('TLS: a host that speaks for another, or for a wildcard', async t => {
  const start = startOf();
  t.equal((await rig.create(start)).status, 201);
  for (const names of [['other'], ['vm.example'], ['*.example'], ['VMX'], ['127.0.0.1']]) {
    const agent = rig.agentOf(await issueClient(rig.authority, names));
    t.equal((await post(agent)).status, 403, `${names}`);
    t.equal((await rig.create(startOf(), agent)).status, 403, `${names}`);
    t.equal((await rig.head(start.id, agent)).status, 403, `${names}`);
    t.equal((await rig.append(start.id, 0, output(1, 'x'), false, agent)).status, 403, `${names}`);
    // OpenSSL takes a leading dot for all hosts below.
    t.equal((await post(agent, { 'X-Hostname': '.example' })).status, 403, `${names}`);
    t.equal((await post(agent, { 'X-Hostname': 'a.example' })).status, 403, `${names}`);
  }
  t.match((await rig.head(start.id)).headers, { 'upload-offset': '0' });
  t.same(readdirSync(`${rig.store}/alice`), ['vm']);
  t.equal(
    (await post(rig.agent, { 'X-Hostname': 'BASTION.example' })).status,
    200,
    'names of hosts have no case',
  );
});

t.test('TLS: the common name counts where there is no DNS name, as in certificates made by hand', async t => {
  const identity = async (...names: x509.JsonGeneralName[]) => {
    const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, [
      'sign',
      'verify',
    ]);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=vm',
      keys,
      extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : [],
    });
    return new Identity(new X509Certificate(certificate.toString('pem')));
  };
  t.ok((await identity()).names('vm'));
  t.notOk((await identity()).names('v'));
  t.ok((await identity({ type: 'email', value: 'a@example.org' })).names('vm'));
  t.notOk((await identity({ type: 'dns', value: 'other' })).names('vm'));
  t.notOk((await identity({ type: 'dns', value: '*' }, { type: 'dns', value: '*.vm' })).names('a.vm'));
});

t.test('TLS: two hosts may use the same id', async t => {
  const other = rig.agentOf(await issueClient(rig.authority, ['other']));
  const start = startOf();
  const theirs = startOf({ id: start.id, hostname: 'other' });
  await rig.create(start);
  t.equal((await rig.create(theirs, other)).status, 201);
  const event = output(1, 'theirs');
  t.match((await rig.append(start.id, 0, event, false, other)).headers, {
    'upload-offset': String(event.length),
  });
  t.match((await rig.head(start.id)).headers, { 'upload-offset': '0' });
});

t.test('TLS: 1.2 does for the original, not for sessions', async t => {
  const agent = rig.agentOf(rig.client, { maxVersion: 'TLSv1.2' });
  t.equal((await post(agent)).status, 200);
  t.equal((await rig.create(startOf(), agent)).status, 403);
  t.equal((await rig.head(startOf().id, agent)).status, 403);
});

t.test('TLS: sessions are not resumed, so that revocation holds at once', async t => {
  const tickets: Buffer[] = [];
  const { certificate: cert, key } = rig.client;
  const options = {
    host: '127.0.0.1',
    port: rig.port,
    servername: 'localhost',
    ca: rig.authority.certificate,
    cert,
    key,
  };
  const first = connect(options);
  first.on('session', ticket => tickets.push(ticket));
  await new Promise(resolve => first.once('secureConnect', resolve));
  first.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await new Promise(resolve => first.resume().once('close', resolve));
  for (const session of tickets) {
    const again = connect({ ...options, session });
    await new Promise(resolve => again.once('secureConnect', resolve));
    t.notOk(again.isSessionReused());
    again.destroy();
  }
  t.pass(`${tickets.length} tickets`);
});

t.test('TLS: revoked, while a connection is open', async t => {
  const bad = await issueClient(rig.authority, ['vm']);
  const agent = rig.agentOf(bad, { maxSockets: 1 });
  const start = startOf();
  t.equal((await rig.create(start, agent)).status, 201);
  writeFileSync(crl, await createCrl(rig.authority, [bad.certificate], { number: 2 }));
  process.kill(rig.pid, 'SIGHUP');
  for (let i = 0; i < 500 && !rig.log.some(({ msg }) => /read again/.test(msg)); i++) await sleep(20);
  await t.rejects(rig.append(start.id, 0, output(1, 'x'), false, agent));
  await t.rejects(rig.create(startOf(), agent));
  t.equal((await rig.create(startOf())).status, 201, 'others go on');

  t.test('a broken list leaves the one before in use', async t => {
    // Lines of what was asked before may still be on their way.
    const said = () => rig.log.find(line => line['level'] === 50);
    t.notOk(said());
    writeFileSync(crl, 'garbage');
    for (let i = 0; i < 600 && !said(); i++) await sleep(20);
    t.match(said(), { level: 50, msg: /^still with .*crl\.pem/ }, 'noticed without a signal');
    await t.rejects(rig.create(startOf(), agent));
    t.equal((await rig.create(startOf())).status, 201);
  });
});

t.test('TLS: a certificate that expires while its connection is open', async t => {
  const soon = await issueClient(rig.authority, ['vm'], { notAfter: new Date(Date.now() + 5_000) });
  const agent = rig.agentOf(soon, { maxSockets: 1 });
  t.equal((await rig.create(startOf(), agent)).status, 201);
  await sleep(5_500);
  await t.rejects(rig.create(startOf(), agent));
});

t.test('hostname_check no', async t => {
  const open = await Rig.start(['hostname_check no']);
  t.teardown(() => open.end());
  const start = startOf({ hostname: 'anything' });
  t.equal((await open.create(start)).status, 201);
  t.equal(
    (await open.ask(`/sessions/${start.id}`, { method: 'PATCH', headers: appendHeaders(0, false) })).status,
    204,
  );
});

t.test('HTTP/2 alone is refused', async t => {
  const { certificate: cert, key } = rig.client;
  const ca = rig.authority.certificate;
  const socket = connect({
    host: '127.0.0.1',
    port: rig.port,
    servername: 'localhost',
    ca,
    cert,
    key,
    ALPNProtocols: ['h2'],
  });
  await t.rejects(
    new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)),
  );
});

t.test('the program checks its files', async t => {
  const main = new URL('../src/receiver/main.ts', import.meta.url).pathname;
  const run = (...args: string[]) => {
    try {
      const text = execFileSync(process.execPath, [main, ...args], {
        encoding: 'utf8',
        stdio: 'pipe',
        cwd: '/',
      });
      return { status: 0, text };
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string };
      return { status, text: stderr };
    }
  };
  const other = new Rig();
  await other.prepare();
  t.teardown(() => other.end());
  const conf = other.path('receiver.conf');
  const [ca, cert, key] = ['ca.pem', 'server.pem', 'server.key'].map(name => other.path(name)) as [
    string,
    string,
    string,
  ];
  t.equal(run('-c', conf, '-n').status, 0);
  t.match(run('-c', conf, '-T').text, `store ${other.store}\nca_path ${ca}`);
  const go = ['-port', '9999', `-ca=${ca}`, '--cert', cert, `--key=${key}`];
  t.match(
    run(...go, '-store', other.store, '-T').text,
    `listen 9999\nstore ${other.store}\nca_path ${ca}\ncert_path ${cert}\nkey_path ${key}`,
  );
  t.equal(run(...go, '-store', other.store, '-n').status, 0);
  t.match(run('-c', conf, '-port=0', '-T').text, 'listen 0\n');
  t.match(run(...go, '-store', other.path('absent'), '-n'), {
    status: 78,
    text: /absent \(store\): there is no such directory/,
  });
  t.match(run(...go, '-store', ca, '-n'), { status: 78, text: /is not a directory/ });
  t.match(run(...go, '-key', ca, '-n'), { status: 78, text: /ca\.pem: no private key/ });
  t.match(run('-ca', ca, '-cert', ca, '-key', key, '-n'), {
    status: 78,
    text: /server\.key: not the key of the certificate in .*ca\.pem/,
  });
  t.match(run('-ca', key, '-cert', cert, '-n'), { status: 78, text: /server\.key: no certificate/ });
  t.match(run('-ca', '/absent', '-cert', cert, '-n'), {
    status: 78,
    text: /\/absent \(ca_path\): cannot be read: ENOENT/,
  });
  t.match(run(...go, '-x'), { status: 64, text: /^ttyspy-receiver: unknown argument "-x"\nusage: / });
  for (const args of [
    ['-c'],
    ['-port', ''],
    ['file'],
    ['-n=1'],
    ['-port='],
    ['--'],
    ['-'],
    ['---n'],
    ['-='],
  ]) {
    t.throws(() => parseArguments(args), { name: 'UsageError' }, args.join(' '));
  }
  t.match(run('-c', '/absent', '-n'), { status: 78, text: /\/absent: there is no such file/ });
  t.match(run('-h'), { status: 0, text: /^usage: ttyspy-receiver/ });
  t.match(run(...go, '-store', other.store, '-port', String(rig.port)), {
    status: 69,
    text: /EADDRINUSE/,
  });
  t.notOk(existsSync(other.path('absent')));
});

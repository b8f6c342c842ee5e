import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import t from 'tap';
import {
  createAuthority,
  createCrl,
  type Identity,
  issueClient,
  issueServer,
  revocations,
  serialNumber,
} from '../src/ctl/pki/certificates.ts';

const CTL = join(import.meta.dirname, '../src/ctl/ttyspyctl');
const DAY = 86_400_000;

function ctl(...args: string[]) {
  return spawnSync(CTL, args, { encoding: 'utf8' });
}

function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  return `${status === 0 ? '' : 'failed: '}${stdout}${stderr}`;
}

interface Outcome {
  /** Why the server refuses the client's certificate, or the names that it has. */
  readonly server: string;
  /** Why the client refuses the server's certificate, or `ok`. */
  readonly client: string;
}

/** A handshake with the verification on, and its result read instead of being left to cut the connection. */
async function handshake(
  server: Identity,
  client: Identity | null,
  authorities: { ofClients: string; ofServers: string; crl?: string },
  version: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): Promise<Outcome> {
  const listener = createServer({
    cert: server.certificate,
    key: server.key,
    ca: authorities.ofClients,
    ...(authorities.crl === undefined ? {} : { crl: authorities.crl }),
    requestCert: true,
    rejectUnauthorized: false,
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = connect({
    host: '127.0.0.1',
    port: (listener.address() as AddressInfo).port,
    servername: 'archive.example',
    ca: authorities.ofServers,
    minVersion: version,
    maxVersion: version,
    rejectUnauthorized: false,
    ...(client && { cert: client.certificate, key: client.key }),
  });
  const [[accepted]] = (await Promise.all([
    once(listener, 'secureConnection'),
    once(socket, 'secureConnect'),
  ])) as [[TLSSocket], unknown];
  const names = accepted.getPeerCertificate().subjectaltname ?? 'no names';
  const outcome = {
    server: accepted.authorized ? names : String(accepted.authorizationError),
    client: socket.authorized ? 'ok' : String(socket.authorizationError),
  };
  accepted.destroy();
  socket.destroy();
  listener.close();
  return outcome;
}

for (const keyType of ['p256', 'ed25519'] as const) {
  t.test(`${keyType}: handshakes`, async t => {
    const options = { keyType };
    const authority = await createAuthority('a', options);
    const other = await createAuthority('a', options);
    const server = await issueServer(authority, ['archive.example', '127.0.0.1', '::1'], options);
    const client = await issueClient(authority, ['bastion', 'bastion.example'], options);
    const same = { ofClients: authority.certificate, ofServers: authority.certificate };
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      t.same(
        await handshake(server, client, same, version),
        { server: 'DNS:bastion, DNS:bastion.example', client: 'ok' },
        version,
      );
    }
    const refused = async (who: Identity | null, code: string, crl?: string) => {
      const outcome = await handshake(server, who, crl === undefined ? same : { ...same, crl });
      t.same(outcome, { server: code, client: 'ok' });
    };
    await refused(null, 'UNABLE_TO_GET_ISSUER_CERT');
    await refused(await issueClient(other, ['bastion'], options), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    const yesterday = new Date(Date.now() - DAY);
    const before = new Date(Date.now() - 2 * DAY);
    await refused(
      await issueClient(authority, ['bastion'], { ...options, notBefore: before, notAfter: yesterday }),
      'CERT_HAS_EXPIRED',
    );
    const tomorrow = new Date(Date.now() + DAY);
    await refused(
      await issueClient(authority, ['bastion'], { ...options, notBefore: tomorrow }),
      'CERT_NOT_YET_VALID',
    );
    await refused(server, 'INVALID_PURPOSE');
    const crl = await createCrl(authority, [client.certificate]);
    await refused(client, 'CERT_REVOKED', crl);
    await refused(await issueClient(authority, ['innocent'], options), 'DNS:innocent', crl);

    t.match(
      (await handshake(server, client, { ...same, ofServers: other.certificate })).client,
      /SELF_SIGNED_CERT_IN_CHAIN/,
    );
    t.equal((await handshake(client, client, same)).client, 'INVALID_PURPOSE');
    const elsewhere = await issueServer(authority, ['elsewhere.example'], options);
    t.match((await handshake(elsewhere, client, same)).client, /ERR_TLS_CERT_ALTNAME_INVALID/);
  });

  t.test(`${keyType}: what openssl says`, async t => {
    const dir = t.testdir();
    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };
    const authority = await createAuthority('ttyspy authority', { keyType });
    const server = await issueServer(authority, ['archive.example', '192.0.2.7', '2001:db8::1'], { keyType });
    const client = await issueClient(authority, ['bastion'], { keyType, notAfter: new Date('2080-01-01') });
    const ca = file('ca.pem', authority.certificate);
    const s = file('s.pem', server.certificate);
    const c = file('c.pem', client.certificate);
    const verify = ['verify', '-x509_strict', '-CAfile', ca, '-purpose'];
    t.match(openssl(...verify, 'sslserver', s), /: OK\n$/);
    t.match(openssl(...verify, 'sslclient', c), /: OK\n$/);
    t.match(openssl(...verify, 'sslclient', s), /^failed: .*(unsuitable|unsupported)/s);
    t.match(openssl(...verify, 'sslserver', c), /^failed: .*(unsuitable|unsupported)/s);

    const text = openssl('x509', '-in', s, '-noout', '-text');
    t.match(text, /Subject: CN = archive\.example\n/);
    t.match(text, /DNS:archive\.example, IP Address:192\.0\.2\.7, IP Address:2001:DB8:0:0:0:0:0:1\n/);
    t.match(text, /Basic Constraints: critical\s+CA:FALSE/);
    t.match(text, /Key Usage: critical\s+Digital Signature\n/);
    t.match(text, /Extended Key Usage:\s+TLS Web Server Authentication\n/);
    const subjectKey = /Subject Key Identifier:\s+([0-9A-F:]+)/;
    const authorityText = openssl('x509', '-in', ca, '-noout', '-text');
    t.match(authorityText, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    t.match(authorityText, /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    t.equal(/Authority Key Identifier:\s+([0-9A-F:]+)/.exec(text)?.[1], subjectKey.exec(authorityText)?.[1]);
    t.match(openssl('x509', '-in', c, '-noout', '-enddate'), 'notAfter=Jan  1 00:00:00 2080 GMT');
    t.match(openssl('pkey', '-in', file('k.pem', server.key), '-noout', '-check'), 'Key is valid');

    const first = await createCrl(authority, [client.certificate], {
      thisUpdate: new Date('2026-01-02T03:04:05.678Z'),
    });
    const list = await createCrl(authority, [serialNumber(server.certificate), client.certificate], {
      previous: first,
    });
    const crl = file('crl.pem', list);
    t.same(
      revocations(list).map(([serial]) => serial),
      [serialNumber(client.certificate), serialNumber(server.certificate)],
    );
    t.same(revocations(list)[0]?.[1], new Date('2026-01-02T03:04:05Z'), 'revoked since it first was');
    t.match(openssl(...verify, 'any', '-crl_check', '-CRLfile', crl, c), /certificate revoked/);
    const third = await issueClient(authority, ['third'], { keyType });
    t.match(
      openssl(...verify, 'any', '-crl_check', '-CRLfile', crl, file('t.pem', third.certificate)),
      /: OK\n$/,
    );
    t.match(openssl('crl', '-in', crl, '-noout', '-text'), /X509v3 CRL Number:/);
    t.match(openssl('crl', '-in', crl, '-CAfile', ca, '-noout'), /verify OK/);
    t.notMatch(openssl('asn1parse', '-in', crl), /l= {3}0 cons: SEQUENCE/, 'no empty list of extensions');
  });
}

t.test('serial numbers are random, positive, and of 16 bytes', async t => {
  const authority = await createAuthority('a');
  const serials = new Set<string>();
  for (let i = 0; i < 20; i++) serials.add(serialNumber((await issueClient(authority, ['b'])).certificate));
  t.equal(serials.size, 20);
  for (const serial of serials) t.match(serial, /^[4-7][0-9a-f]{31}$/);
});

t.test('names', async t => {
  const authority = await createAuthority('a');
  for (const name of [
    '',
    'a b',
    'a/b',
    '../a',
    'a..b',
    '-a',
    'a\n',
    'é',
    `${'a'.repeat(64)}.b`,
    'a,CN=root',
  ]) {
    await t.rejects(issueClient(authority, [name]), { code: 'CERTIFICATE_NAME' }, JSON.stringify(name));
  }
  await t.rejects(issueServer(authority, []), { code: 'CERTIFICATE_NAME' });
  const long = `${'a'.repeat(40)}.${'b'.repeat(40)}.example`;
  const { subject, subjectAltName } = new X509Certificate((await issueClient(authority, [long])).certificate);
  t.same([subject, subjectAltName], ['O=ttyspy', `DNS:${long}`], 'too long for a common name');
  const wild = new X509Certificate((await issueServer(authority, ['*.hosts.example'])).certificate);
  t.equal(wild.checkHost('a.hosts.example'), '*.hosts.example');
});

t.test('ttyspyctl pki', async t => {
  const dir = join(t.testdir(), 'pki');
  const init = ctl('pki', 'init', '--dir', dir, '--name', 'our authority');
  t.equal(init.status, 0, init.stderr);
  t.match(init.stdout, `    ca_path   ${dir}/ca.pem\n`);
  t.equal(statSync(dir).mode & 0o777, 0o700);
  t.equal(
    ctl('pki', 'server', 'archive.example', '127.0.0.1', '--dir', dir, '--key-type', 'ed25519').status,
    0,
  );
  const client = ctl('pki', 'client', 'bastion', '--dir', dir, '--days', '10');
  t.match(
    client.stdout,
    `    cert_path ${dir}/client-bastion.pem\n    key_path  ${dir}/client-bastion.key\n`,
  );
  for (const name of readdirSync(dir)) {
    t.equal(statSync(join(dir, name)).mode & 0o777, name.endsWith('.key') ? 0o600 : 0o644, name);
  }
  const certificate = new X509Certificate(readFileSync(join(dir, 'client-bastion.pem')));
  t.ok(Math.abs(certificate.validToDate.getTime() - Date.now() - 10 * DAY) < DAY);
  t.equal(new X509Certificate(readFileSync(join(dir, 'ca.pem'))).subject, 'CN=our authority');

  const before = execFileSync('sha256sum', readdirSync(dir).sort(), { cwd: dir, encoding: 'utf8' });
  for (const args of [['init'], ['server', 'archive.example'], ['client', 'bastion']]) {
    const again = ctl('pki', ...args, '--dir', dir);
    t.match(again, { status: 73, stderr: /^ttyspyctl: \/.* exists already and is not overwritten/ });
  }
  t.equal(execFileSync('sha256sum', readdirSync(dir).sort(), { cwd: dir, encoding: 'utf8' }), before);

  const revoke = ctl('pki', 'revoke', 'bastion', '--dir', dir);
  t.match(revoke.stdout, `    crl_path  ${dir}/crl.pem\n`);
  t.equal(ctl('pki', 'client', 'bastion', '--dir', dir).status, 0, 'the name is free again');
  t.equal(ctl('pki', 'revoke', 'client-bastion', '--dir', dir).status, 0);
  t.equal(revocations(readFileSync(join(dir, 'crl.pem'), 'utf8')).length, 2);
  t.equal(readdirSync(join(dir, 'revoked')).length, 4);

  for (const [args, status, message] of [
    [['pki'], 64, /what is to be made/],
    [['pki', 'frob'], 64, /does not know "frob"/],
    [['pki', 'client', '--dir', dir], 64, /needs a name/],
    [['pki', 'client', 'a b', '--dir', dir], 64, /"a b" is neither a DNS name nor an IP address/],
    [['pki', 'client', 'x', '--dir', dir, '--days', '9000'], 64, /goes beyond the authority/],
    [['pki', 'client', 'x', '--dir', dir, '--days', '0'], 64, /--days is "0"/],
    [['pki', 'client', 'x', '--key-type', 'rsa'], 64, /--key-type is "rsa", but must be p256 or ed25519/],
    [['pki', 'client', 'x', '--frob'], 64, /Unknown option '--frob'/],
    [['pki', 'client', 'x', '--dir', '/nonexistent'], 66, /make one with: ttyspyctl pki init/],
    [['pki', 'init', '--dir', '/nonexistent/x'], 66, /no such file or directory/],
    [['pki', 'revoke', 'nobody', '--dir', dir], 66, /there is no certificate of nobody/],
    [['pki', 'revoke', 'ca', '--dir', dir], 66, /there is no certificate of ca/],
    [['pki', 'revoke', '../pki/ca', '--dir', dir], 66, /there is no certificate of/],
  ] as const) {
    t.match(ctl(...args), { status, stderr: message, stdout: /^$/ }, args.join(' '));
  }
});

t.test('ttyspyctl by itself', async t => {
  t.match(ctl('--help'), { status: 0, stdout: /usage: ttyspyctl COMMAND/ });
  t.match(ctl('--version'), { status: 0, stdout: /^ttyspyctl \d+\.\d+\.\d+\n$/ });
  t.match(ctl(), { status: 64, stderr: /which command/ });
  t.match(ctl('constructor'), { status: 64, stderr: /there is no command "constructor"/ });
  t.match(ctl('play', '--help'), { status: 0, stdout: /usage: ttyspyctl play/ });
});

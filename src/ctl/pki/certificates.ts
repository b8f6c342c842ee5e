/**
 * The X.509 certificates of ttyspy's mutual TLS (RFC 5280): an authority, receivers (servers), bastions (clients),
 * and the list of those revoked. PEM in, PEM out; no files.
 */
import './reflect_metadata.ts';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { exportKey, generateKeys, importKey, type KeyType, pem, signingAlgorithm } from './keys.ts';

/** A certificate and its private key, both PEM (the key PKCS#8). Each ends in a line feed. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

export interface IssueOptions {
  /** Default p256. */
  readonly keyType?: KeyType;
  /** Default: an hour ago, for hosts whose clocks are behind. */
  readonly notBefore?: Date;
  /** Default: ten years (authority) or two years from now, but not beyond the authority's own end. */
  readonly notAfter?: Date;
}

export interface CrlOptions {
  /** An earlier list in PEM: what it revokes stays revoked, since the date it says. */
  readonly previous?: string;
  /** Default: now. */
  readonly thisUpdate?: Date;
  /** Default: ten years on. A TLS server that has a list past this date refuses everyone. */
  readonly nextUpdate?: Date;
  /** CRL number (RFC 5280, 5.2.3), to be larger in each further list. Default: seconds since 1970. */
  readonly number?: number;
}

/** Thrown for a name that cannot stand in a certificate. */
export class CertificateNameError extends Error {
  override readonly name = 'CertificateNameError';
  readonly code = 'CERTIFICATE_NAME';
}

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;

/** A self-signed authority that may sign certificates and revocation lists, and no further authority. */
export async function createAuthority(name: string, options: IssueOptions = {}): Promise<Identity> {
  const keys = await generateKeys(options.keyType ?? 'p256');
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: commonName([name]),
    keys,
    serialNumber: randomSerial(),
    signingAlgorithm: signingAlgorithm(keys.privateKey),
    notBefore: wholeSeconds(options.notBefore ?? new Date(Date.now() - HOUR)),
    notAfter: wholeSeconds(options.notAfter ?? new Date(Date.now() + 10 * YEAR)),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem('CERTIFICATE', certificate.rawData), key: await exportKey(keys.privateKey) };
}

/**
 * A receiver's certificate.
 * @param names DNS names and IP addresses under which bastions reach it; the first is the common name too
 * @throws CertificateNameError for no name, or one that is neither
 */
export function issueServer(
  authority: Identity,
  names: readonly string[],
  options: IssueOptions = {},
): Promise<Identity> {
  return issue(authority, names, x509.ExtendedKeyUsage.serverAuth, options);
}

/**
 * A bastion's certificate.
 * @param names its host name, as in `hostname` of ttyspy.conf, and further ones it may speak for
 * @throws CertificateNameError for no name, or one that is neither DNS name nor IP address
 */
export function issueClient(
  authority: Identity,
  names: readonly string[],
  options: IssueOptions = {},
): Promise<Identity> {
  return issue(authority, names, x509.ExtendedKeyUsage.clientAuth, options);
}

/**
 * A revocation list signed by the authority, PEM.
 * @param revoked certificates in PEM, or their serial numbers in hex
 */
export async function createCrl(
  authority: Identity,
  revoked: readonly string[],
  options: CrlOptions = {},
): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await importKey(authority.key);
  const thisUpdate = wholeSeconds(options.thisUpdate ?? new Date());
  const dates = new Map(options.previous ? revocations(options.previous) : []);
  for (const serial of revoked.map(serialNumber)) if (!dates.has(serial)) dates.set(serial, thisUpdate);
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName.toJSON(),
    thisUpdate,
    nextUpdate: wholeSeconds(options.nextUpdate ?? new Date(thisUpdate.getTime() + 10 * YEAR)),
    signingAlgorithm: signingAlgorithm(signingKey),
    signingKey,
    // The library writes an empty list of extensions where an entry has none, which DER forbids: hence `invalidity`.
    entries: [...dates].map(([serial, date]) => ({
      serialNumber: serial,
      revocationDate: date,
      invalidity: date,
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      new x509.Extension(
        '2.5.29.20',
        false,
        derInteger(options.number ?? Math.floor(thisUpdate.getTime() / 1000)),
      ),
    ],
  });
  return pem('X509 CRL', list.rawData);
}

/** Serial numbers (hex) and dates in a revocation list in PEM. */
export function revocations(list: string): [serial: string, revoked: Date][] {
  // The library knows the label CRL only, openssl and RFC 7468 write X509 CRL.
  const crl = new x509.X509Crl(x509.PemConverter.decodeFirst(list));
  return crl.entries.map(entry => [serialNumber(entry.serialNumber), entry.revocationDate]);
}

/** The serial number of a certificate in PEM, hex without leading zeros; a serial number stays what it is. */
export function serialNumber(certificate: string): string {
  const serial = certificate.includes('-----BEGIN')
    ? new x509.X509Certificate(certificate).serialNumber
    : certificate;
  return serial.toLowerCase().replace(/^(?:00)+(?=.)/, '');
}

async function issue(
  authority: Identity,
  names: readonly string[],
  purpose: x509.ExtendedKeyUsage,
  options: IssueOptions,
): Promise<Identity> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await generateKeys(options.keyType ?? 'p256');
  const signingKey = await importKey(authority.key);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: commonName(names),
    issuer: issuer.subjectName.toJSON(),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: signingAlgorithm(signingKey),
    serialNumber: randomSerial(),
    notBefore: wholeSeconds(options.notBefore ?? new Date(Date.now() - HOUR)),
    notAfter: wholeSeconds(
      options.notAfter ?? new Date(Math.min(Date.now() + 2 * YEAR, issuer.notAfter.getTime())),
    ),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([purpose]),
      new x509.SubjectAlternativeNameExtension(alternativeNames(names)),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: pem('CERTIFICATE', certificate.rawData), key: await exportKey(keys.privateKey) };
}

const DNS_NAME =
  /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

function alternativeNames(names: readonly string[]): x509.JsonGeneralNames {
  if (names.length === 0) throw new CertificateNameError('a certificate needs at least one name');
  return names.map(value => {
    if (isIP(value)) return { type: 'ip', value };
    if (value.length > 253 || !DNS_NAME.test(value)) {
      throw new CertificateNameError(`${JSON.stringify(value)} is neither a DNS name nor an IP address`);
    }
    return { type: 'dns', value };
  });
}

/** The first name as common name, where it fits (ub-common-name is 64). Verifiers look at the alternative names. */
function commonName(names: readonly string[]): x509.JsonName {
  const name = names.find(candidate => candidate.length <= 64);
  return [name === undefined ? { O: ['ttyspy'] } : { CN: [name] }];
}

/** 127 random bits, positive, as RFC 5280 (4.1.2.2) and the CA/Browser Forum ask for. */
function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

/** RFC 5280 allows no fraction of a second (4.1.2.5.2); the library would write one from 2050 on. */
function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000);
}

function derInteger(value: number): Uint8Array<ArrayBuffer> {
  let hex = value.toString(16);
  if (hex.length % 2 === 1) hex = `0${hex}`;
  if (Number.parseInt(hex.slice(0, 2), 16) > 0x7f) hex = `00${hex}`;
  return Uint8Array.from([0x02, hex.length / 2, ...Buffer.from(hex, 'hex')]);
}

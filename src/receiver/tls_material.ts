/** Authority, certificate, key and revocation list: read, checked to fit together, and read again when they change. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';

export interface TlsPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Null: nobody is revoked. */
  readonly crl: string | null;
}

export interface TlsMaterial {
  readonly options: SecureContextOptions;
  /** Tells one state of the files from the next. */
  readonly stamp: string;
}

/** Thrown for files that cannot serve; the message names the file. */
export class TlsMaterialError extends Error {
  override readonly name = 'TlsMaterialError';
}

/** @throws TlsMaterialError when one is missing, unreadable, or does not fit the others */
export function loadTlsMaterial(paths: TlsPaths): TlsMaterial {
  const stamp = stampOf(paths);
  const ca = readPem(paths.ca, 'ca_path');
  const cert = readPem(paths.cert, 'cert_path');
  const key = readPem(paths.key, 'key_path');
  for (const [pem, path] of [
    [ca, paths.ca],
    [cert, paths.cert],
  ] as const) {
    attempt(`${path}: no certificate in PEM`, () => new X509Certificate(pem));
  }
  attempt(`${paths.key}: no private key in PEM without a passphrase`, () => createPrivateKey(key));
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new TlsMaterialError(`${paths.key}: not the key of the certificate in ${paths.cert}`);
  }
  const options: SecureContextOptions = { ca, cert, key, minVersion: 'TLSv1.2' };
  attempt(`${paths.cert}: not usable`, () => createSecureContext(options));
  if (paths.crl === null) return { options, stamp };
  const withCrl = { ...options, crl: readPem(paths.crl, 'crl_path') };
  attempt(`${paths.crl}: no revocation list in PEM`, () => createSecureContext(withCrl));
  return { options: withCrl, stamp };
}

/** What changes when any of the files does; a missing one is a state too. */
export function stampOf(paths: TlsPaths): string {
  const files = [paths.ca, paths.cert, paths.key, ...(paths.crl === null ? [] : [paths.crl])];
  return files
    .map(path => {
      const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
      return stat ? `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}` : 'absent';
    })
    .join(' ');
}

function readPem(path: string, directive: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TlsMaterialError(`${path} (${directive}): cannot be read: ${code}`, { cause: error });
  }
}

function attempt(problem: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw new TlsMaterialError(`${problem}: ${(error as Error).message}`, { cause: error });
  }
}

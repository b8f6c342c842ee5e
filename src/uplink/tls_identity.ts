/** Who the uplink is and whom it believes: the certificates of ttyspy.conf as a TLS context. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

/** Paths as in ttyspy.conf; null where it has none. */
export interface TlsFiles {
  /** Authorities that receivers are verified against; the system's when null. */
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/** Where distributions keep the system's authorities (Debian, Fedora), when OpenSSL's own place is empty. */
const SYSTEM_CA = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'];

/**
 * Reads the files. TLS 1.2 is the least, for original receivers; ours is held to 1.3 when it shows itself.
 * @throws Error with a message for people when a file cannot be read or used
 */
export function loadIdentity(files: TlsFiles): SecureContext {
  const ca = files.ca === null ? systemAuthorities() : readCertificate('ca_path', files.ca);
  const cert = files.cert === null ? undefined : readCertificate('cert_path', files.cert);
  const key = files.key === null ? undefined : read('key_path', files.key);
  try {
    return createSecureContext({
      ca,
      minVersion: 'TLSv1.2',
      ...(cert !== undefined && { cert }),
      ...(cert !== undefined && key !== undefined && { key }),
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') {
      throw new Error(`key_path ${files.key} is not the key of cert_path ${files.cert}`, { cause: error });
    }
    throw new Error(`cert_path ${files.cert}, key_path ${files.key}: cannot be used for TLS: ${message}`, {
      cause: error,
    });
  }
}

function read(directive: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${directive} ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** OpenSSL takes a file without any certificate for an empty list, and says nothing. */
function readCertificate(directive: string, path: string): Buffer {
  const pem = read(directive, path);
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${directive} ${path}: has no certificate in PEM: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return pem;
}

function systemAuthorities(): string[] | Buffer {
  const known = getCACertificates('system');
  if (known.length > 0) return known;
  for (const path of SYSTEM_CA) {
    try {
      return readFileSync(path);
    } catch {
      // The next one.
    }
  }
  throw new Error('no authorities of the system were found: set ca_path');
}

/** The private keys of certificates, on Node's WebCrypto. */
import { createPrivateKey, type webcrypto } from 'node:crypto';

/** `p256`: ECDSA on NIST P-256, which every TLS library has. `ed25519`: smaller and faster, TLS 1.3 or late 1.2. */
export type KeyType = 'p256' | 'ed25519';

type CryptoKey = webcrypto.CryptoKey;

const GENERATE = {
  p256: { name: 'ECDSA', namedCurve: 'P-256' },
  ed25519: { name: 'Ed25519' },
} as const;

export function generateKeys(type: KeyType): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(GENERATE[type], true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

/**
 * A private key in PEM, ready to sign with.
 * @throws TypeError for a key that is neither P-256 nor Ed25519
 */
export async function importKey(pem: string): Promise<CryptoKey> {
  const key = createPrivateKey(pem);
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType === 'ed25519') return key.toCryptoKey('Ed25519', true, ['sign']);
  if (curve === 'prime256v1') return key.toCryptoKey(GENERATE.p256, true, ['sign']);
  throw new TypeError(`key is ${curve ?? key.asymmetricKeyType}, not P-256 or Ed25519`);
}

/** With what a key signs: its own algorithm, and SHA-256 for ECDSA. */
export function signingAlgorithm(key: CryptoKey): { name: string; hash?: string } {
  return key.algorithm.name === 'ECDSA' ? { name: 'ECDSA', hash: 'SHA-256' } : { name: key.algorithm.name };
}

export async function exportKey(key: CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', await crypto.subtle.exportKey('pkcs8', key));
}

/** DER as text (RFC 7468). */
export function pem(label: string, der: ArrayBuffer): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

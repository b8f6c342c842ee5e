/** Who a client is: the certificate it proved, and the hosts that this names. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { Refusal } from './refusal.ts';

export class Identity {
  /** SHA-256 of the certificate, colon-separated hex. */
  readonly fingerprint: string;
  readonly #certificate: X509Certificate;
  readonly #expires: number;
  /** Hosts that were found to be named: one as a rule. */
  readonly #hosts = new Set<string>();

  constructor(certificate: X509Certificate) {
    this.#certificate = certificate;
    this.fingerprint = certificate.fingerprint256;
    this.#expires = Date.parse(certificate.validTo);
  }

  /** TLS checks the time at the handshake only; connections live for days. */
  get expired(): boolean {
    return Date.now() > this.#expires;
  }

  /**
   * Whether the certificate names this host: as a DNS name in subjectAltName, or where it has none, as common name.
   * A wildcard names nobody: a host speaks for itself, not for its domain.
   */
  names(host: string): boolean {
    if (this.#hosts.has(host)) return true;
    const named = this.#certificate.checkHost(host, { wildcards: false, partialWildcards: false });
    // OpenSSL takes a leading dot for "any host below": only the very name counts.
    if (named?.toLowerCase() !== host.toLowerCase()) return false;
    this.#hosts.add(host);
    return true;
  }
}

const identities = new WeakMap<TLSSocket, Identity>();

/**
 * The client at the other end of a connection.
 * @throws Refusal when its certificate has expired since the handshake
 */
export function identityOf(socket: TLSSocket): Identity {
  let identity = identities.get(socket);
  if (!identity) {
    const certificate = socket.getPeerX509Certificate();
    // With requestCert and rejectUnauthorized no request comes without: our own invariant.
    if (!socket.authorized || !certificate) throw new Error('request without a verified certificate');
    identity = new Identity(certificate);
    identities.set(socket, identity);
  }
  if (identity.expired) throw new Refusal('expired', 'your certificate has expired');
  return identity;
}

/** Why an upload did not go on, and who has to wait for it. */

/**
 * Who waits:
 * - `session`: this session's upload, a moment.
 * - `hopeless`: this session's upload, until somebody changed something; asked again rarely.
 * - `endpoint`: everything that goes to this endpoint.
 * - `stale`: nobody. A kept-alive connection was closed by its other end while it lay idle.
 */
export type Scope = 'session' | 'hopeless' | 'endpoint' | 'stale';

/** An upload that stopped. The message is for the log: what went wrong and, where it is known, what to do. */
export class UploadFailure extends Error {
  override readonly name = 'UploadFailure';
  readonly scope: Scope;
  /** Milliseconds the other end asked to wait; null when it did not. */
  readonly wait: number | null;

  constructor(scope: Scope, problem: string, wait: number | null = null) {
    super(problem);
    this.scope = scope;
    this.wait = wait;
  }
}

const FOREIGN = "the receiver's certificate is not of the authority in ca_path";
const OURS = 'the receiver refuses the certificate in cert_path';

const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut off',
  EPIPE: 'the connection was cut off',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name could not be looked up',
  EHOSTUNREACH: 'no way to the host',
  ENETUNREACH: 'no way to the network',
  CERT_HAS_EXPIRED: "the receiver's certificate has expired",
  CERT_NOT_YET_VALID: "the receiver's certificate is not valid yet",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: FOREIGN,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: FOREIGN,
  SELF_SIGNED_CERT_IN_CHAIN: FOREIGN,
  DEPTH_ZERO_SELF_SIGNED_CERT: FOREIGN,
  CERT_SIGNATURE_FAILURE: FOREIGN,
  ERR_TLS_CERT_ALTNAME_INVALID: "the receiver's certificate is for another name than the endpoint's",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'the receiver wants a client certificate: set cert_path',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: OURS,
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: OURS,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: OURS,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: `${OURS}: expired`,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: `${OURS}: revoked`,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: OURS,
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: OURS,
};

/** What a network or TLS error means, with its code. */
export function describe(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error.message;
  const advice = ADVICE[code];
  return advice === undefined ? error.message : `${advice} (${code})`;
}

/** Whether an error came from TLS: waiting for the same session again will not help, the endpoint is at fault. */
export function isTlsError(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return /^ERR_(?:SSL|TLS)_|CERT|ISSUER|SIGNATURE/.test(code);
}

/** The HTTPS server: TLS with client certificates, limits, and its orderly end. Nothing else here opens a socket. */
import { constants } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Archive } from './archive.ts';
import { MAX_HEADER, type ReceiverLimits } from './limits.ts';
import { Refusal } from './refusal.ts';
import { handle } from './requests.ts';
import type { TlsMaterial } from './tls_material.ts';

/** A descriptor from systemd, or an address; a null host is every address. */
export type ListenTarget = { readonly fd: number } | { readonly host: string | null; readonly port: number };

export class ArchiveServer {
  readonly #archive: Archive;
  readonly #server: Server;
  readonly #answering = new Set<ServerResponse>();
  /** Connections whose TLS stands. */
  readonly #secure = new WeakSet<Duplex>();
  #connections = 0;

  constructor(archive: Archive, material: TlsMaterial) {
    this.#archive = archive;
    this.#server = createServer(serverOptions(material, archive.limits));
    this.#server.maxConnections = archive.limits.connections;
    const take = (request: IncomingMessage, response: ServerResponse) => this.#take(request, response);
    // Whether a client that waits for 100 gets it is decided where its headers are looked at.
    this.#server.on('request', take).on('checkContinue', take);
    this.#server.on('checkExpectation', (_request, response: ServerResponse) => {
      response.writeHead(417, { 'Content-Length': 0, Connection: 'close' }).end();
    });
    this.#server.on('secureConnection', (socket: TLSSocket) => this.#connected(socket));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) =>
      this.#unparsed(error, socket as TLSSocket),
    );
  }

  get connections(): number {
    return this.#connections;
  }

  /** @returns the port that it listens on, null for a socket that has none */
  async listen(target: ListenTarget): Promise<number | null> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    const address =
      'fd' in target ? target : { port: target.port, ...(target.host && { host: target.host }) };
    this.#server.listen(address, resolve);
    await promise;
    this.#server.off('error', reject);
    this.#server.on('error', error => this.#archive.log.error({ cause: error.message }, 'listening failed'));
    const bound = this.#server.address();
    return bound !== null && typeof bound === 'object' ? bound.port : null;
  }

  /** Uses other certificates, for connections that are open too: they end with their request, and come again. */
  renew(material: TlsMaterial): void {
    this.#server.setSecureContext(serverOptions(material, this.#archive.limits));
    for (const response of this.#answering) response.shouldKeepAlive = false;
    this.#server.closeIdleConnections();
  }

  /** Ends: running appends are committed up to here, and their clients told to come again. */
  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve));
    for (const response of this.#answering) response.shouldKeepAlive = false;
    this.#server.closeIdleConnections();
    const late = setTimeout(() => this.#server.closeAllConnections(), this.#archive.limits.stopMs);
    await this.#archive.sessions.close(
      new Refusal('stopping', 'the archive is stopping, come again', { headers: { 'Retry-After': 1 } }),
    );
    await closed;
    clearTimeout(late);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#answering.add(response);
    response.once('close', () => this.#answering.delete(response));
    void handle(this.#archive, request, response);
  }

  #connected(socket: TLSSocket): void {
    this.#connections++;
    this.#secure.add(socket);
    socket.once('close', () => this.#connections--);
  }

  /** A handshake that failed, bytes that are no HTTP, either of them too slow. */
  #unparsed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const { remoteAddress: peer } = socket;
    if (!this.#secure.has(socket)) {
      this.#archive.log.warn({ peer, code: error.code }, `TLS refused: ${error.message}`);
      socket.destroy();
      return;
    }
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    this.#archive.log.warn({ peer, code: error.code }, `no HTTP: ${error.message}`);
    const busy = [...this.#answering].some(response => response.socket === socket && response.headersSent);
    if (!busy)
      socket.write(`HTTP/1.1 ${PARSE_STATUS[error.code ?? ''] ?? BAD_REQUEST}\r\nConnection: close\r\n\r\n`);
    socket.destroySoon();
  }
}

const BAD_REQUEST = '400 Bad Request';
const PARSE_STATUS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

function serverOptions(material: TlsMaterial, limits: ReceiverLimits): ServerOptions {
  return {
    ...material.options,
    requestCert: true,
    rejectUnauthorized: true,
    // A resumed TLS session would not look at the revocation list, nor at the clock.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: limits.headerMs,
    headersTimeout: limits.headerMs,
    keepAliveTimeout: limits.idleMs,
    // A legacy request lasts as long as its session; other bodies have limits of their own.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(limits.headerMs, 5_000),
    maxHeaderSize: MAX_HEADER,
    insecureHTTPParser: false,
    keepAlive: true,
    keepAliveInitialDelay: limits.idleMs,
  };
}

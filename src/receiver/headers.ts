/** Headers of a request, taken strictly: what is there twice could be read in two ways. */
import type { IncomingMessage } from 'node:http';
import { Refusal } from './refusal.ts';

/** @throws Refusal when the header is missing or there more than once */
export function singleHeader(request: IncomingMessage, name: string): string {
  const value = optionalHeader(request, name);
  if (value === undefined) throw new Refusal('malformed', `${name}: is missing`);
  return value;
}

/** @throws Refusal when the header is there more than once */
export function optionalHeader(request: IncomingMessage, name: string): string | undefined {
  const values = request.headersDistinct[name] ?? [];
  if (values.length > 1) throw new Refusal('malformed', `${name}: is there more than once`);
  return values[0];
}

/**
 * Text of a header that UTF-8 was written into: Node gives bytes as Latin-1.
 * @returns as it is where the bytes are no UTF-8
 */
export function headerText(value: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, 'latin1'));
  } catch {
    return value;
  }
}

/** @throws Refusal for any other type than this one, whatever its parameters, and for encoded bodies */
export function requireContentType(request: IncomingMessage, type: string): void {
  const [given = ''] = (optionalHeader(request, 'content-type') ?? '').split(';');
  if (given.trim().toLowerCase() !== type) throw new Refusal('media-type', `Content-Type: must be ${type}`);
  if (request.headers['content-encoding'] !== undefined) {
    throw new Refusal('media-type', 'Content-Encoding: none is taken');
  }
}

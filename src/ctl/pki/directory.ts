/**
 * The files of an authority and what it issued, in one directory of mode 0700:
 *
 *     ca.pem  ca.key  crl.pem  server-NAME.pem  server-NAME.key  client-NAME.pem  client-NAME.key  revoked/
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Exit, Failure, fromSystem, printable } from '../failure.ts';
import { replaceFile } from '../replace_file.ts';
import type { Identity } from './certificates.ts';

export interface IdentityFiles {
  readonly certificate: string;
  readonly key: string;
}

export class PkiDirectory {
  /** Absolute, since it becomes a line of a configuration. */
  readonly path: string;
  readonly crl: string;

  constructor(path: string) {
    this.path = resolve(path);
    this.crl = join(this.path, 'crl.pem');
  }

  files(stem: string): IdentityFiles {
    return { certificate: join(this.path, `${stem}.pem`), key: join(this.path, `${stem}.key`) };
  }

  has(stem: string): boolean {
    return existsSync(this.files(stem).certificate);
  }

  create(): void {
    makeDirectory(this.path);
  }

  /** @throws Failure (73) when either file is there; nothing is written then */
  refuseOverwrite(stem: string): void {
    for (const file of Object.values(this.files(stem))) {
      if (!existsSync(file)) continue;
      throw new Failure(
        Exit.cannotCreate,
        `${printable(file)} exists already and is not overwritten; name another --dir, or revoke or move it`,
      );
    }
  }

  write(stem: string, identity: Identity): IdentityFiles {
    this.refuseOverwrite(stem);
    const files = this.files(stem);
    writeNew(files.key, identity.key, 0o600);
    try {
      writeNew(files.certificate, identity.certificate, 0o644);
    } catch (error) {
      rmSync(files.key);
      throw error;
    }
    return files;
  }

  /** @throws Failure (66) saying how to make an authority when there is none */
  authority(): Identity {
    if (!this.has('ca')) {
      throw new Failure(
        Exit.noInput,
        `no authority in ${printable(this.path)}; make one with: ttyspyctl pki init --dir ${printable(this.path)}`,
      );
    }
    const { certificate, key } = this.files('ca');
    return { certificate: read(certificate), key: read(key) };
  }

  readCrl(): string | null {
    return existsSync(this.crl) ? read(this.crl) : null;
  }

  /** In one step, because a receiver may read it at any time. */
  replaceCrl(list: string): void {
    replaceFile(this.crl, list);
  }

  /** Puts a revoked certificate and its key aside, so that the name is free for the next one. */
  putAside(stem: string, serial: string): string {
    const aside = join(this.path, 'revoked');
    try {
      makeDirectory(aside);
      for (const [file, extension] of [
        [this.files(stem).certificate, 'pem'],
        [this.files(stem).key, 'key'],
      ] as const) {
        if (existsSync(file)) renameSync(file, join(aside, `${stem}-${serial}.${extension}`));
      }
    } catch (error) {
      throw fromSystem(error, aside);
    }
    return aside;
  }
}

export function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw fromSystem(error, file);
  }
}

/** Not recursive: a parent that is not there is a mistake, and Node loops forever over one below /proc. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fromSystem(error, path);
  }
}

function writeNew(file: string, text: string, mode: number): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode, flush: true });
    // Whatever the umask: the certificate is public and daemons of other accounts read it.
    chmodSync(file, mode);
  } catch (error) {
    throw fromSystem(error, file);
  }
}
